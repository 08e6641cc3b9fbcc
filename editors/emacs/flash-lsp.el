;;; flash-lsp.el --- Offline code completion as ghost text, through lsp-mode -*- lexical-binding: t; -*-

;; Package-Requires: ((emacs "28.1") (lsp-mode "10.0.0"))
;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; (require 'flash-lsp) and M-x lsp.  The server runs beside the one of the language.
;; TAB accepts, M-right accepts a word, any other key goes on typing.

;;; Code:

(require 'lsp-mode)
(require 'lsp-inline-completion)

(defgroup flash-lsp nil
  "Offline code completion."
  :group 'lsp-mode)

(defcustom flash-lsp-command '("flash-lsp" "serve")
  "How the server is started."
  :type '(repeat string))

(defcustom flash-lsp-settings nil
  "The server's settings, such as ((deadline_ms . 80) (disabled_languages . [\"markdown\"]))."
  :type 'alist)

(defvar flash-lsp-status "loading"
  "What the server said of itself last.")

(defun flash-lsp--on-status (_workspace params)
  "Keep the state that is in PARAMS, for the mode line."
  (setq flash-lsp-status (lsp-get params :state))
  (force-mode-line-update t))

(defun flash-lsp--on-ready (_workspace params)
  "Ask again if the cursor is where PARAMS say that there is more to suggest."
  (run-at-time 0 nil #'flash-lsp--ask-again (lsp-get params :uri) (lsp-get params :position)))

(defun flash-lsp--ask-again (uri position)
  "Show what there is at POSITION of URI, if the cursor is there."
  (when (and lsp-inline-completion-mode
             (equal uri (lsp--buffer-uri))
             (= (lsp--position-to-point position)
                (if (lsp-inline-completion--active-p) lsp-inline-completion--start-point (point))))
    (lsp-inline-completion-cancel)
    (lsp-inline-completion-display 'implicit)))

(defun flash-lsp-accept-word ()
  "Insert the next word of the suggestion.  The rest comes back once Emacs is idle."
  (interactive)
  (let ((text (lsp-get (elt lsp-inline-completion--items lsp-inline-completion--current) :insertText)))
    (lsp-inline-completion-cancel)
    (string-match "\\`[[:space:]\n]*\\(?:[[:word:]_]+\\|[^[:word:][:space:]_]+\\|\\'\\)" text)
    (let ((word (match-string 0 text)))
      (insert word)
      (run-hook-with-args 'lsp-inline-completion-accepted-functions word (- (point) (length word)) (point)))))

(lsp-inline-completion--define-key lsp-inline-completion-active-map
                                   (kbd "TAB") #'lsp-inline-completion-accept 'keep)
(lsp-inline-completion--define-key lsp-inline-completion-active-map
                                   (kbd "M-<right>") #'flash-lsp-accept-word 'keep)

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
