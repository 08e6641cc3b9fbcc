"""What loading a GGUF file changes: `python -m flash_engine.formats.loss FILE.gguf` prints a line for each type."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from flash_engine.formats.gguf_blocks import loss, quantization_of
from flash_engine.formats.gguf_file import read_gguf


def losses(path: Path) -> dict[str, list[float]]:
    """GGUF's type -> for each matrix, the root mean square change in parts of the matrix's own."""
    found: dict[str, list[float]] = defaultdict(list)
    for tensor in read_gguf(path).tensors.values():
        if len(tensor.shape) > 1:
            found[tensor.type.name].append(loss(tensor))
    return dict(found)


def report(path: Path) -> str:
    lines = []
    for kind, values in sorted(losses(path).items()):
        target = quantization_of(kind)
        given = f"{target.bits} bit in groups of {target.group_size}" if target else "as stored"
        lines.append(
            f"{kind:5} {len(values):4} matrices, {given}: relative change {sum(values) / len(values):.2e} "
            f"(at most {max(values):.2e})"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(Path(sys.argv[1])))
