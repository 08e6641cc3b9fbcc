"""The offmac tools lie beside flash_metal and are no part of the distribution."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "metal"))
