"""Draw figures: a dot for each round, a bar for the median, a mark for the goal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.model import Figure, Spread, Unmeasured
from benchmarks.table import number

_HELD = {True: "#1a7f37", False: "#cf222e", None: "#57606a"}
_GOAL = "#0969da"

#: Ticks on the axis of figures relative to their goals.
_MARKS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def draw(figures: Sequence[Figure], path: Path) -> None:
    """Draw the figures: ratios above, figures without a comparison below.

    Raises:
        Unmeasured: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise Unmeasured("the picture needs matplotlib: pip install 'rolehost[bench]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    ratios = [figure for figure in figures if figure.bare]
    numbers = [figure for figure in figures if not figure.bare and figure.goal is not None]
    panels = [each for each in (ratios, numbers) if each]
    height = 1.2 * len(panels) + 0.34 * sum(map(len, panels))
    drawing, axes = pyplot.subplots(
        len(panels),
        1,
        figsize=(10, height),
        height_ratios=[len(each) + 1 for each in panels],
        layout="constrained",
        squeeze=False,
    )
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        if panel is ratios:
            _ratios(axis, panel)
        else:
            _numbers(axis, panel)
    drawing.savefig(path, dpi=110)
    pyplot.close(drawing)


def _ratios(axis: Any, figures: Sequence[Figure]) -> None:
    # One outlier (a round with other load) must not compress the scale for all others.
    edge = 1.3 * max(1.2, *(figure.judged.high for figure in figures))
    axis.set_xlim(0, edge)
    for at, figure in enumerate(figures):
        _row(axis, at, [min(ratio, edge * 0.93) for ratio in figure.ratios], figure)
        goal = figure.goal
        for bound in () if goal is None else (goal.least, goal.most):
            if bound is not None:
                axis.plot([bound] * 2, [at - 0.4, at + 0.4], color=_GOAL, linewidth=2)
    axis.axvline(1.0, color="#8c959f", linewidth=0.8, linestyle="--", zorder=0)
    axis.set_title(
        "host against bare: right of 1 the host is the better one; blue is the goal", fontsize=10
    )
    _label(axis, [f"{each.what} ({_kind(each)})" for each in figures])


def _numbers(axis: Any, figures: Sequence[Figure]) -> None:
    labels = []
    extent: list[float] = [1.0]
    for at, figure in enumerate(figures):
        assert figure.goal is not None
        bound = figure.goal.most or figure.goal.least or 1.0
        samples = [figure.ours[kept] / bound for kept in figure.kept]
        _row(axis, at, samples, figure)
        extent += samples
        side = "at most" if figure.goal.most else "at least"
        labels.append(f"{figure.what}\n{side} {number(bound, figure.unit)}")
    axis.axvline(1.0, color=_GOAL, linewidth=2, zorder=0)
    axis.set_xscale("log")
    axis.set_xticks(_MARKS, [f"{mark:g}" for mark in _MARKS])
    axis.minorticks_off()
    axis.set_xlim(min(extent) / 1.3, max(extent) * 1.8)
    axis.set_title("against the goal, which is 1", fontsize=10)
    _label(axis, labels)


def _row(axis: Any, at: int, samples: Sequence[float], figure: Figure) -> None:
    colour = _HELD[figure.held]
    axis.scatter(samples, [at] * len(samples), s=14, color=colour, alpha=0.4, linewidths=0)
    middle = Spread.of(samples).median
    axis.plot([middle] * 2, [at - 0.3, at + 0.3], color=colour, linewidth=3)
    axis.annotate(
        f"{middle:.2f}" if figure.bare else number(figure.value.median, figure.unit),
        (max(samples), at),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=colour,
    )


def _kind(figure: Figure) -> str:
    return "a second" if figure.unit == "/s" else figure.unit


def _label(axis: Any, labels: Sequence[str]) -> None:
    axis.set_yticks(range(len(labels)), labels, fontsize=8)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.grid(axis="x", color="#d0d7de", linewidth=0.5)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
