"""launch.py PIDFILE ARGUMENTS: `python -m flash_lsp ARGUMENTS` whose process id a test knows, to end it."""

import os
import runpy
import sys
from pathlib import Path

Path(sys.argv[1]).write_text(str(os.getpid()))
del sys.argv[1]
runpy.run_module("flash_lsp", run_name="__main__", alter_sys=True)
