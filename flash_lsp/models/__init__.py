"""The user's models: pulled, recommended, converted, evaluated. The commands are in flash_lsp/cli/models."""
