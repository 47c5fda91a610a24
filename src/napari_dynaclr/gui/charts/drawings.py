"""What the charts show, drawn by matplotlib; knows no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from napari_dynaclr.core.tasks import PALETTE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHORT = 11
"""Letters of a state's name that fit beside a small matrix."""

_COLOURED = len(PALETTE)
"""Wells that can have a colour each."""


@dataclass(frozen=True)
class Ink:
    """Colours to draw with, "#rrggbb".

    Attributes
    ----------
    text
        Of letters and axes.
    paper
        What is drawn on.
    accent
        Of what matters most.
    size
        Of letters, in points.
    """

    text: str = "#222222"
    paper: str = "#ffffff"
    accent: str = "#0072b2"
    size: float = 8.0


def draw_confusion(
    figure: Figure, ink: Ink, scores: Mapping[str, Any], order: Sequence[str] = ()
) -> None:
    """Draw a confusion matrix: numbers of cells, shaded by the part of the true state.

    Parameters
    ----------
    figure, ink
        Where and with what.
    scores
        From :func:`~napari_dynaclr.classification.validation.scores`.
    order
        States in the order to show them in; others follow.
    """
    axes = _axes(figure, ink)
    known = list(scores["states"])
    states = [*(one for one in order if one in known), *(one for one in known if one not in order)]
    places = [known.index(one) for one in states]
    counts = np.array(scores["confusion"], float)[np.ix_(places, places)]
    part = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shades = LinearSegmentedColormap.from_list("shades", [ink.paper, ink.accent])
    axes.imshow(part * 0.85, cmap=shades, vmin=0, vmax=1, aspect="auto")
    names = [_short(name) for name in states]
    for truth in range(len(names)):
        for predicted in range(len(names)):
            axes.text(
                predicted,
                truth,
                f"{int(counts[truth, predicted])}",
                ha="center",
                va="center",
                color=_readable(shades(part[truth, predicted] * 0.85)),
                fontsize=ink.size + (2.5 if len(names) < 5 else 0),
            )
    axes.set_xticks(range(len(names)), names, rotation=0 if len(names) < 3 else 35)
    axes.set_yticks(range(len(names)), names, rotation=90 if len(names) < 4 else 0, va="center")
    axes.set_xlabel("predicted", labelpad=2)
    axes.set_ylabel("annotated", labelpad=2)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def draw_reliability(figure: Figure, ink: Ink, calibration: Mapping[str, Any]) -> None:
    """Draw how often the classifier was right against how sure it was (Guo et al. 2017, fig. 1).

    Parameters
    ----------
    figure, ink
        Where and with what.
    calibration
        From :func:`~napari_dynaclr.classification.validation.calibration`.
    """
    axes = _axes(figure, ink)
    sure, right, cells = (
        np.array(calibration[name], float) for name in ("confidence", "accuracy", "cells")
    )
    low = min(0.5, float(np.floor(sure.min() * 10) / 10))
    axes.plot([low, 1], [low, 1], "--", color=ink.text, alpha=0.45, linewidth=0.9)
    axes.vlines(sure, right, sure, color=ink.accent, alpha=0.5, linewidth=1.4)
    axes.scatter(
        sure,
        right,
        s=14 + 90 * cells / cells.max(),
        color=ink.accent,
        edgecolor=ink.paper,
        linewidth=0.8,
        zorder=3,
        clip_on=False,
    )
    bottom = min(low, float(right.min()) - 0.05)
    axes.set(xlim=(low - 0.02, 1.02), ylim=(max(bottom, -0.02), 1.02))
    axes.set_xlabel("how sure", labelpad=2)
    axes.set_ylabel("how often right", labelpad=2)
    ticks = [0.25, 0.5, 0.75, 1] if low < 0.5 else [0.5, 0.75, 1]
    axes.set_xticks(ticks, [f"{one:.0%}" for one in ticks])
    ticks = [one for one in (0, 0.25, 0.5, 0.75, 1) if one >= bottom]
    axes.set_yticks(ticks, [f"{one:.0%}" for one in ticks])
    open_axes(axes)


def draw_curve(
    figure: Figure, ink: Ink, curve: pd.DataFrame, state: str, well: str = "", key: bool = True
) -> None:
    """Draw the fraction of cells in a state over time, a line with its band per well.

    Parameters
    ----------
    figure, ink
        Where and with what.
    curve
        From :func:`~napari_dynaclr.classification.curve.state_curve`.
    state
        What is counted.
    well
        The well on screen; where there are more wells than colours, the others are grey.
    key
        Whether to say which line is which well.
    """
    axes = _axes(figure, ink)
    wells = list(dict.fromkeys(curve["well"]))
    many = len(wells) > _COLOURED
    hours = bool(curve["hours"].notna().all())
    for i, (name, part) in enumerate(curve.groupby("well", sort=False)):
        time = part["hours" if hours else "t"].to_numpy(float)
        low, middle, high = (100 * part[one].to_numpy() for one in ("low", "fraction", "high"))
        here = name == well
        if many:
            colour, alpha = (ink.accent, 1.0) if here else (ink.text, 0.25)
        else:
            colour, alpha = PALETTE[i % _COLOURED], 1.0
        axes.plot(
            time,
            middle,
            color=colour,
            alpha=alpha,
            linewidth=2.2 if here else 1.3,
            label=str(name) if not many or here else None,
            marker="o" if len(time) == 1 else None,
            markersize=3,
        )
        if not many or here:
            axes.fill_between(time, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.set_ylim(-2, 102)
    last = float(curve["hours" if hours else "t"].max())
    axes.set_xlim(0, last if last > 0 else 1)
    axes.set_xlabel("time (hours)" if hours else "time point", labelpad=2)
    axes.set_ylabel(f"{state} (% of cells)", labelpad=2)
    axes.grid(axis="y", color=ink.text, alpha=0.1, linewidth=0.7)
    open_axes(axes)
    if key:
        shown = axes.get_legend_handles_labels()
        columns: int = min(len(shown[0]), 4)
        if columns:
            figure.legend(
                *shown,
                loc="outside upper center",
                ncols=columns,
                frameon=False,
                labelcolor=ink.text,
                fontsize=ink.size,
                handlelength=1.2,
                columnspacing=1.2,
                borderpad=0,
            )


def _axes(figure: Figure, ink: Ink) -> Axes:
    axes = figure.subplots()
    style_axes(axes, ink)
    return axes


def style_axes(axes: Axes, ink: Ink) -> None:
    """Give axes, and the figure that they are on, the colours and sizes of an ink."""
    axes.figure.set_facecolor(ink.paper)
    axes.set_facecolor(ink.paper)
    axes.tick_params(colors=ink.text, labelsize=ink.size, length=2.5, width=0.7, pad=2)
    axes.spines[:].set(color=ink.text, alpha=0.4, linewidth=0.7)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=ink.text, fontsize=ink.size)


def open_axes(axes: Axes) -> None:
    """Leave the frame open at the top and at the right."""
    axes.spines[["top", "right"]].set_visible(False)


def _short(name: str) -> str:
    return name if len(name) <= _SHORT else name[: _SHORT - 1] + "…"


def _readable(colour: Sequence[float]) -> str:
    """Black or white, whichever can be read on a colour (ITU-R BT.601 luma)."""
    red, green, blue = colour[:3]
    return "#ffffff" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else "#1a1a1a"
