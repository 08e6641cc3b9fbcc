"""Pictures of measurements. They need matplotlib: `pip install "flash-lsp[bench]"`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_COLOURS = {
    "shown": "tab:green",
    "answers": "tab:olive",
    "inflight": "tab:cyan",
    "model": "tab:blue",
    "silence": "tab:gray",
    "superseded": "lightgray",
}


def timeline(runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The latency of every request of a replay by the time it was sent, one panel a debounce, as PNG."""
    pyplot = _pyplot()
    figure, panels = pyplot.subplots(len(runs), 1, figsize=(9, 2.2 * len(runs)), squeeze=False, sharey=True)
    for panel, run in zip(panels[:, 0], runs, strict=True):
        for source, colour in _COLOURS.items():
            points = [each for each in run["timeline"] if each["source"] == source]
            panel.scatter(
                [each["s"] for each in points],
                [max(each["ms"], 0.1) for each in points],
                s=7,
                color=colour,
                label=source,
            )
        panel.axhline(run["deadline_ms"], color="tab:red", linewidth=0.8)
        panel.set_yscale("log")
        panel.set_ylabel("ms")
        panel.set_title(f"debounce {run['debounce_ms']:.0f} ms", fontsize=9, loc="left")
    panels[-1, 0].set_xlabel("seconds of typing")
    panels[0, 0].legend(ncols=len(_COLOURS), fontsize=7, loc="upper right")
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def gate(figures: Mapping[str, Any], path: Path) -> None:
    """Of the places with a suggestion, the share where it is right, against the share of places that have a whole line,
    gate by gate, as PNG. figures: of the gate's bench."""
    pyplot = _pyplot()
    figure, panel = pyplot.subplots(figsize=(5.5, 3.6))
    for group in figures["groups"]:
        for name, count in (("right as far as shown", "right_shown"), ("the whole line", "exact_shown")):
            points = [
                (row["on_time_share"], row[count], row["least"]) for row in group["gates"] if row[count]
            ]
            [curve] = panel.plot(
                [whole for whole, _, _ in points],
                [right for _, right, _ in points],
                marker="o",
                markersize=4,
                label=f"{group['name']}: {name}",
            )
            for whole, right, least in points:
                panel.annotate(
                    f"{least:g}",
                    (whole, right),
                    textcoords="offset points",
                    xytext=(3, 4),
                    fontsize=6,
                    color=curve.get_color(),
                )
    panel.set_xlabel("share of places with a whole line")
    panel.set_ylabel("right, of the shown")
    panel.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def roofline(figures: Mapping[str, Any], path: Path) -> None:
    """Products a second of each operation against its products a byte, under the limits of the machine, as PNG.

    figures: of the engine's bench; the run with most threads is drawn.
    """
    pyplot = _pyplot()
    run = figures["threads"][-1]
    bandwidth, products = run["limits"]["read_gb_per_s"], run["limits"]["int8_gmac_per_s"]
    figure, panel = pyplot.subplots(figsize=(7, 4.5))
    roof = [0.5, products / bandwidth, 1024.0]
    panel.plot(roof, [min(products, bandwidth * each) for each in roof], color="black", linewidth=1)
    points = [each for each in run["operations"] if each["products"]]
    operations = sorted({each["operation"] for each in points})
    for tokens, marker in zip(sorted({each["tokens"] for each in points}), "ov^", strict=True):
        for index, operation in enumerate(operations):
            point = next(
                each for each in points if (each["operation"], each["tokens"]) == (operation, tokens)
            )
            panel.scatter(
                point["products"] / point["bytes"],
                point["products"] / point["ms"] / 1e6,
                marker=marker,
                color=f"C{index}",
                label=f"{operation}, pass of {tokens}",
            )
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xlabel("int8 products for each byte read")
    panel.set_ylabel("10⁹ products a second")
    panel.set_title(
        f"{figures['model']}, {run['backend']}: {bandwidth:.0f} GB/s, {products:.0f} GMAC/s",
        fontsize=9,
        loc="left",
    )
    panel.legend(fontsize=6, ncols=3, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
