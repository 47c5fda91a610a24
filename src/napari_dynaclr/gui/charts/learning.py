"""How a training goes, drawn by matplotlib; knows no Qt."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from napari_dynaclr.gui.charts.drawings import open_axes, style_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_dynaclr.gui.charts.drawings import Ink

_ORANGE = "#e69f00"
"""Told apart from the ink's accent by the colour-blind, and seen on dark and on light."""


class _Part(NamedTuple):
    """One of the diagrams that are drawn above each other."""

    label: str
    height: float
    lines: dict[str, tuple[str, str]]
    """Name in the key and colour ("" is the accent), by what was measured."""
    level: float | None = None
    """What chance would come to, drawn as a broken line."""


_PARTS = (
    _Part("loss", 1.7, {"loss": ("training", ""), "validation_loss": ("validation", _ORANGE)}),
    _Part("PCC ↑", 1.3, {"pcc": ("PCC", "")}),
    _Part(
        "right ↑",
        1.3,
        {"centre_f1": ("centres", ""), "link_accuracy": ("links", _ORANGE)},
    ),
    _Part(
        "right\norder ↑",
        1.5,
        {
            "accuracy": ("anywhere", ""),
            "accuracy_division": ("divisions", _ORANGE),
            "accuracy_interphase": ("other cells", "#009e73"),
            "accuracy_background": ("background", "#cc79a7"),
        },
        level=0.5,
    ),
    # All cross-entropies, which a person may compare.
    _Part(
        "views ↓",
        1.4,
        {
            "dino": ("same site", ""),
            "aggregation": ("another site", _ORANGE),
            "local": ("small views", "#009e73"),
        },
    ),
    # A mean over part of the images: beside the others, none would be seen to fall.
    _Part("hidden ↓", 1.0, {"ibot": ("hidden parts", "")}),
    _Part("KoLeo ↓", 1.0, {"koleo": ("KoLeo", "")}),
    # Of scales of their own: in one diagram, the smaller would look like a flat line.
    _Part("smooth-\nness ↓", 1.0, {"smoothness": ("smoothness", "")}),
    _Part("dynamic\nrange ↑", 1.0, {"dynamic_range": ("dynamic range", "")}),
    _Part("spread", 1.0, {"spread": ("spread", "")}),
    _Part("rank", 1.0, {"rank": ("rank", "")}),
)


_PCC = "pcc_"
"""How the names of the correlations of single channels begin."""

_CHANNELS = ("", _ORANGE, "#009e73", "#cc79a7")
"""Colours of single channels."""


def draw_learning(figure: Figure, ink: Ink, table: pd.DataFrame) -> None:
    """Draw how a training goes: its loss, and below it what has become of the network.

    Parameters
    ----------
    figure, ink
        Where and with what.
    table
        A row per epoch: ``epoch``, and any of ``loss``, ``validation_loss``, ``pcc``, and
        ``pcc_`` with the name of each channel, ``centre_f1``, ``link_accuracy``, ``accuracy``
        and that of each region, the parts of a loss, ``smoothness``, ``dynamic_range`` and
        ``rank``. What was never measured takes no room.
        The epoch with the lowest validation loss, which is the one that is kept, has a ring.
    """
    parts = [_by_channel(part, table) for part in _PARTS]
    parts = [parts[0], *(part for part in parts[1:] if _known(part, table))]
    heights = [part.height for part in parts]
    found = figure.subplots(len(parts), 1, sharex=True, squeeze=False, height_ratios=heights)
    epochs = table["epoch"].to_numpy(float)
    for part, axes in zip(parts, found[:, 0], strict=True):
        style_axes(axes, ink)
        open_axes(axes)
        _draw(axes, ink, part, epochs, table)
    bottom = found[-1, 0]
    bottom.set_xlabel("epoch", labelpad=2)
    bottom.set_xlim(1, max(float(epochs.max()) if len(epochs) else 0.0, 2.0))
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=2))
    figure.align_ylabels()


def _by_channel(part: _Part, table: pd.DataFrame) -> _Part:
    """Return a line for each channel of the stain where there are several, else a part as it is."""
    names = [str(one) for one in table.columns if str(one).startswith(_PCC)]
    if "pcc" not in part.lines or len(names) < 2:
        return part
    coloured = zip(names, cycle(_CHANNELS), strict=False)
    return part._replace(lines={one: (one.removeprefix(_PCC), colour) for one, colour in coloured})


def _known(part: _Part, table: pd.DataFrame) -> list[str]:
    """Return what of a part has been measured at least once."""
    return [name for name in part.lines if name in table and table[name].notna().any()]


def _draw(axes: Axes, ink: Ink, part: _Part, epochs: np.ndarray, table: pd.DataFrame) -> None:
    known = _known(part, table)
    for name in known:
        title, colour = part.lines[name]
        values = table[name].to_numpy(float)
        there = np.isfinite(values)
        axes.plot(
            epochs[there],
            values[there],
            color=colour or ink.accent,
            linewidth=1.4,
            label=title,
            # Without them, a single epoch would not be seen.
            marker="o" if there.sum() < 30 else None,
            markersize=2.6,
            clip_on=False,
        )
    if part.level is not None:
        # All of it: what is mere chance must not look like ups and downs.
        axes.set_ylim(0, 1)
        axes.axhline(part.level, color=ink.text, alpha=0.45, linewidth=0.8, linestyle="--")
    if "validation_loss" in known:
        _ring_lowest(axes, epochs, table["validation_loss"].to_numpy(float))
    axes.set_ylabel(part.label, labelpad=3)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3 if part.height < 1.5 else 4))
    axes.grid(axis="y", color=ink.text, alpha=0.1, linewidth=0.7)
    if len(part.lines) > 1 and len(known) > (part.level is not None):
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=4,
            frameon=False,
            labelcolor=ink.text,
            fontsize=ink.size,
            handlelength=1.2,
            columnspacing=1.2,
            borderpad=0,
            borderaxespad=0.2,
        )


def _ring_lowest(axes: Axes, epochs: np.ndarray, values: np.ndarray) -> None:
    """Ring the epoch whose weights are kept: the last of those with the lowest value."""
    best = np.flatnonzero(values == np.nanmin(values))[-1]
    axes.plot(
        epochs[best],
        values[best],
        "o",
        markersize=7,
        markerfacecolor="none",
        markeredgecolor=_ORANGE,
        clip_on=False,
    )
