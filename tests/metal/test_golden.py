"""What Apple's compiler gets for each launch, in golden/: a change of ours or of MLX's shows as a diff there.

FLASH_METAL_UPDATE_GOLDEN=1 writes the files anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flash_metal.problem import ERRORS, Problem
from flash_metal.registry import Registry
from offmac.capture import Recorder

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("launch", ERRORS)
def test_golden(launch: str) -> None:
    recorder = Recorder()
    ERRORS[launch](Problem(tokens=2), Registry(recorder))
    text = "\n".join(captured.text for captured in recorder.captured)
    file = GOLDEN / f"{launch}.metal"
    if os.environ.get("FLASH_METAL_UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), "if this is meant: FLASH_METAL_UPDATE_GOLDEN=1 writes the files anew"
