"""`python -m flash_lsp` is the command `flash-lsp`."""

from flash_lsp.cli import main

main()
