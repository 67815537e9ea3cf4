"""A picture for each measure: the values of every window, both daemons side by side, medians as lines."""

import re
from pathlib import Path

from tests.bench import OURS, THEIRS, Measured

COLOURS = {OURS: "#0a7d5a", THEIRS: "#8a8f98"}


def draw(results: list[Measured], folder: Path) -> list[Path]:
    """SVG files in `folder`, one for each measure with values."""
    import matplotlib

    matplotlib.use("svg")
    folder.mkdir(parents=True, exist_ok=True)
    return [draw_one(each, folder / f"{slug(each.name)}.svg") for each in results if each.values[OURS]]


def slug(name: str) -> str:
    """`TCP one flow, veth, Mbit/s` -> `tcp-one-flow-veth-mbit-s`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def draw_one(measured: Measured, target: Path) -> Path:
    if measured.picture is not None:
        measured.picture(target)
        return target
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.0), layout="constrained")
    axes = figure.add_subplot()
    for row, kind in enumerate((THEIRS, OURS)):
        values, median = measured.values[kind], measured.median(kind)
        axes.plot(values, [row] * len(values), "o", color=COLOURS[kind], alpha=0.6)
        if median is not None:
            axes.plot([median, median], [row - 0.3, row + 0.3], color=COLOURS[kind], linewidth=2)
            axes.annotate(f"{median:.{measured.digits}f}", (median, row + 0.32), ha="center", fontsize=8)
    axes.set_yticks([0, 1], [THEIRS, OURS])
    axes.set_ylim(-0.6, 1.8)
    axes.set_xlim(left=0)
    axes.set_xlabel(measured.unit)
    ratio = measured.ratio()
    axes.set_title(f"{measured.name}{'' if ratio is None else f'  ({ratio:.2f}x)'}", fontsize=10)
    figure.savefig(target)
    return target
