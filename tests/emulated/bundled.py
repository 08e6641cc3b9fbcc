"""Run here and in the emulated machine: logits of the bundled model by the instruction sets named as arguments.

Prints the instruction sets that the engine finds, best first, "ISA: SHA-256 of the logits" for each, and the files that
this process has opened.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

import numpy as np

from flash_engine import Checkpoint, bundled
from flash_engine._native import supported_isas
from flash_engine.backends.native import ISA_VARIABLE, NativeBackend

PROMPT = list(range(100, 120))
DECODED = 3


def logits(isa: str) -> bytes:
    """Of a pass of 20 tokens and, one by one, of 3 more that the model chose."""
    os.environ[ISA_VARIABLE] = isa
    backend = NativeBackend.load(Checkpoint(bundled.root() / bundled.MAIN), capacity=64, threads=1)
    cache = backend.new_cache()
    passes = [backend.forward(PROMPT, cache, logits=len(PROMPT))]
    for _ in range(DECODED):
        passes.append(backend.forward([int(passes[-1][-1].argmax())], cache, logits=1))
    return np.concatenate(passes).tobytes()


def opened() -> set[str]:
    """Modules and their compiled forms, mapped libraries, and the model."""
    modules = [module for module in sys.modules.values() if getattr(module, "__file__", None)]
    files = {
        str(name)
        for module in modules
        for name in (module.__file__, module.__spec__ and module.__spec__.cached)
    }
    for name in set(re.findall(r" (/.*)$", Path("/proc/self/maps").read_text(), re.MULTILINE)):
        file = Path(name)  # and the links to it: a library is asked for by its short name
        files |= {
            str(link) for link in file.parent.glob(file.name.split(".so")[0] + "*") if link.resolve() == file
        }
    files |= {str(file) for file in (bundled.root() / bundled.MAIN).iterdir()}
    return {file for file in files if os.path.isfile(file)}


if __name__ == "__main__":
    print("found:", *supported_isas())
    for isa in sys.argv[1:]:
        print(f"{isa}: {hashlib.sha256(logits(isa)).hexdigest()}", flush=True)
    print("\n".join(sorted(opened())))
