;;; init.el --- Emacs for the tests: lsp-mode, flash-lsp, and nothing that changes text by itself -*- lexical-binding: t; -*-

(set-language-environment "UTF-8")
(setq make-backup-files nil
      auto-save-default nil
      create-lockfiles nil
      inhibit-startup-screen t
      user-emacs-directory (file-name-as-directory (getenv "TEST_FOLDER"))
      lsp-session-file (expand-file-name "session" user-emacs-directory)
      lsp-auto-guess-root t
      lsp-restart 'auto-restart
      lsp-warn-no-matched-clients nil
      lsp-headerline-breadcrumb-enable nil
      lsp-enable-snippet nil
      lsp-completion-enable nil
      lsp-idle-delay 0.1
      lsp-inline-completion-idle-delay 0.1)
(electric-indent-mode 0)
(menu-bar-mode 0)
(dolist (folder (directory-files (getenv "TEST_LISP") t "^[a-z]"))
  (add-to-list 'load-path folder))
;; As `package-activate' would.
(load "lsp-mode-autoloads")
(load (getenv "TEST_CLIENT"))
(setq flash-lsp-command (split-string (getenv "TEST_SERVER")))

(defvar test-accepted nil "Texts that were accepted, the last one first.")
(add-hook 'lsp-inline-completion-accepted-functions (lambda (text &rest _) (push text test-accepted)))

(defun test-ghost ()
  "The ghost text on show, or nil."
  (when (lsp-inline-completion--active-p)
    (substring-no-properties (lsp-get (elt lsp-inline-completion--items lsp-inline-completion--current) :insertText))))

(setq server-socket-dir user-emacs-directory)
(require 'server)
(server-start)
(add-hook 'python-mode-hook #'lsp)
(add-hook 'python-mode-hook (lambda () (setq-local tab-width 4 indent-tabs-mode t)))
