;;; flash-lsp.el --- Offline code completion as ghost text, through lsp-mode -*- lexical-binding: t; -*-

;; Package-Requires: ((emacs "28.1") (lsp-mode "10.0.0"))
;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; (require 'flash-lsp) and M-x lsp.  The server runs beside the one of the language.
;; TAB accepts, M-right accepts a word, C-M-right a line, C-n and C-p show others, any other key goes on typing.
;; M-x flash-lsp-run does what the server offers: its statistics, a pause, why it was silent.

;;; Code:

(require 'lsp-mode)
(require 'lsp-inline-completion)
(require 'json)
(require 'seq)

(defgroup flash-lsp nil
  "Offline code completion."
  :group 'lsp-mode)

(defcustom flash-lsp-command '("flash-lsp" "serve")
  "How the server is started."
  :type '(repeat string))

(defcustom flash-lsp-settings nil
  "The server's settings, such as ((deadline_ms . 80) (disabled_languages . [\"markdown\"]))."
  :type 'alist)

;;; What the server says of itself

(defvar flash-lsp-status "loading"
  "The server's state: loading, ready, silent, paused or error.")

(defvar flash-lsp-reason nil
  "Why the server is silent, or what is wrong with it; else nil.")

(defun flash-lsp--on-status (_workspace params)
  "Keep what PARAMS say, for the mode line."
  (let ((message (lsp-get params :message)))
    (setq flash-lsp-status (lsp-get params :state)
          flash-lsp-reason (or (lsp-get params :reason)
                               (and (equal flash-lsp-status "error") message))))
  (force-mode-line-update t))

(defun flash-lsp--workspace ()
  "The server of this buffer, or nil."
  (seq-find (lambda (workspace) (eq (lsp--workspace-server-id workspace) 'flash-lsp)) (lsp-workspaces)))

(defun flash-lsp-mode-line ()
  "The server's state in a few letters, for `mode-line-format'; empty where it does not run."
  (if (flash-lsp--workspace)
      (concat " flash:" flash-lsp-status (and flash-lsp-reason (format "(%s)" flash-lsp-reason)))
    ""))

(defun flash-lsp--commands ()
  "The names of the commands that the server of this buffer offers."
  (let* ((workspace (or (flash-lsp--workspace) (user-error "The flash-lsp server does not run in this buffer")))
         (capabilities (lsp--workspace-server-capabilities workspace)))
    (append (lsp-get (lsp-get capabilities :executeCommandProvider) :commands) nil)))

(defun flash-lsp-run (command)
  "Have the server run its COMMAND, such as flash-lsp.stats, and show the answer."
  (interactive (list (completing-read "flash-lsp: " (flash-lsp--commands) nil t "flash-lsp.")))
  (let ((answer (with-lsp-workspace (flash-lsp--workspace)
                  (lsp-request "workspace/executeCommand" (list :command command)))))
    (if (or (null answer) (stringp answer))
        (message "%s: %s" command (or answer "done"))
      (let ((text (with-temp-buffer
                    (insert (lsp--json-serialize answer))
                    (json-pretty-print-buffer)
                    (buffer-string))))
        (with-help-window "*flash-lsp*" (princ text))))))

;;; Ghost text

(defvar flash-lsp--asking nil
  "Non-nil while a suggestion is asked for.")

(define-advice lsp-inline-completion-display (:around (display &rest arguments) flash-lsp)
  "Note that a suggestion is asked for.  Timers run meanwhile; one that asks as well would find point moved."
  (let ((flash-lsp--asking t))
    (apply display arguments)))

(defun flash-lsp--on-ready (_workspace params)
  "Ask again if the cursor is where PARAMS say that there is more to suggest."
  (run-at-time 0 nil #'flash-lsp--ask-again (lsp-get params :uri) (lsp-get params :position)))

(defun flash-lsp--ask-again (uri position)
  "Show what there is at POSITION of URI, if the cursor is there."
  (when (and lsp-inline-completion-mode
             (not flash-lsp--asking)
             (equal uri (lsp--buffer-uri))
             (= (lsp--position-to-point position)
                (if (lsp-inline-completion--active-p) lsp-inline-completion--start-point (point))))
    (lsp-inline-completion-cancel)
    (lsp-inline-completion-display 'implicit)))

(defun flash-lsp--follow-text ()
  "Have the ghost text's place follow what programs change around it; where keys do, lsp-mode hides it before."
  (setq lsp-inline-completion--start-point (copy-marker lsp-inline-completion--start-point t))
  (add-hook 'after-change-functions #'flash-lsp--on-change nil t))

(defun flash-lsp--on-change (&rest _)
  "Drop the ghost text after a change that no key has made, once what makes it has finished."
  (remove-hook 'after-change-functions #'flash-lsp--on-change t)
  (when (lsp-inline-completion--active-p)
    (run-at-time 0 nil #'flash-lsp--drop (current-buffer) lsp-inline-completion--overlay)))

(defun flash-lsp--drop (buffer overlay)
  "Cancel the suggestion of BUFFER if it is still the one that OVERLAY shows."
  (when (buffer-live-p buffer)
    (with-current-buffer buffer
      (when (eq overlay lsp-inline-completion--overlay)
        (lsp-inline-completion-cancel)))))

(add-hook 'lsp-inline-completion-shown-hook #'flash-lsp--follow-text)

(defun flash-lsp--accept (pattern)
  "Insert what PATTERN matches at the beginning of the suggestion.  The rest comes back once Emacs is idle."
  (let ((text (lsp-get (elt lsp-inline-completion--items lsp-inline-completion--current) :insertText)))
    (lsp-inline-completion-cancel)
    (string-match pattern text)
    (let ((part (match-string 0 text)))
      (insert part)
      (run-hook-with-args 'lsp-inline-completion-accepted-functions part (- (point) (length part)) (point)))))

(defun flash-lsp-accept-word ()
  "Insert the next word of the suggestion."
  (interactive)
  (flash-lsp--accept "\\`[[:space:]\n]*\\(?:[[:word:]_]+\\|[^[:word:][:space:]_]+\\|\\'\\)"))

(defun flash-lsp-accept-line ()
  "Insert the rest of the suggestion's line, or its next line."
  (interactive)
  (flash-lsp--accept "\\`\n?.*"))

(defun flash-lsp-next (&optional step)
  "Show the suggestion STEP places on; ask for more where there is only one."
  (interactive)
  (if (cdr lsp-inline-completion--items)
      (funcall (if (eq step -1) #'lsp-inline-completion-prev #'lsp-inline-completion-next))
    (lsp-inline-completion-cancel)
    (lsp-inline-completion-display)
    (when (and (lsp-inline-completion--active-p) (cdr lsp-inline-completion--items))
      (flash-lsp-next step))))

(defun flash-lsp-previous ()
  "Show the suggestion before; ask for more where there is only one."
  (interactive)
  (flash-lsp-next -1))

(dolist (binding '(("TAB" . lsp-inline-completion-accept)
                   ("M-<right>" . flash-lsp-accept-word)
                   ("C-M-<right>" . flash-lsp-accept-line)
                   ("C-n" . flash-lsp-next)
                   ("C-p" . flash-lsp-previous)))
  (lsp-inline-completion--define-key lsp-inline-completion-active-map (kbd (car binding)) (cdr binding) 'keep))

;;; The server

(lsp-register-client
 (make-lsp-client
  :server-id 'flash-lsp
  :new-connection (lsp-stdio-connection (lambda () flash-lsp-command))
  :activation-fn (lambda (_file mode) (provided-mode-derived-p mode 'prog-mode))
  :add-on? t
  :multi-root t
  :initialization-options (lambda () flash-lsp-settings)
  :notification-handlers (lsp-ht ("flash-lsp/ready" #'flash-lsp--on-ready)
                                 ("flash-lsp/status" #'flash-lsp--on-status))))

(provide 'flash-lsp)
;;; flash-lsp.el ends here
