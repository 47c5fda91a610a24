"""Pictures of what becomes of a virtual stain when its images get worse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from napari_dynaclr.core.tasks import PALETTE
from napari_dynaclr.evaluation.perturbing import NEUTRAL, UNITS
from napari_dynaclr.evaluation.stain_drawing import TRUE, VIRTUAL, grey, middle, outlined

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

_SHOWN = 256
"""Pixels of an example: its middle, so that cells can be seen."""

_GAP = 4


class Example(NamedTuple):
    """A slice of an image that was made worse.

    Attributes
    ----------
    kind, level
        How.
    image, stain
        The image, and the virtual stain of its nuclei, (Y, X).
    true, found
        Label images of the true cells and of those in the stain, (Y, X).
    """

    kind: str
    level: float
    image: NDArray[Any]
    stain: NDArray[Any]
    true: NDArray[Any]
    found: NDArray[Any]


def draw_curves(table: pd.DataFrame) -> Figure:
    """Draw average precision and correlation over the levels, a panel per kind.

    Parameters
    ----------
    table
        ``perturbation``, ``level``, ``virtual``, ``pcc`` and ``ap50``; AP of one stain only.
    """
    kinds = list(dict.fromkeys(table["perturbation"]))
    figure = Figure(figsize=(3.1 * len(kinds), 3.4), layout="constrained")
    panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        part = table[table["perturbation"] == kind]
        for i, (virtual, curve) in enumerate(part.groupby("virtual", sort=False)):
            label, colour = str(virtual), PALETTE[i % len(PALETTE)]
            axes.plot(curve["level"], curve["pcc"], "s--", c=colour, ms=4, label=f"PCC, {label}")
            if curve["ap50"].notna().any():
                axes.plot(
                    curve["level"], curve["ap50"], "o-", c=colour, ms=4, label=f"AP@0.5, {label}"
                )
        axes.axvline(NEUTRAL[kind], c="grey", lw=0.8, ls=":")
        if NEUTRAL[kind] == 1:
            axes.set_xscale("log", base=2)
            levels = sorted(set(part["level"]))
            axes.set_xticks(levels, [f"{level:g}" for level in levels], fontsize=8)
            axes.minorticks_off()
        axes.set_xlabel(UNITS[kind], fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylim(min(0, panels[0].get_ylim()[0]), 1.02)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure


def draw_examples(examples: Sequence[Example]) -> Figure:
    """Draw an image and its stain at every level, with the outlines of the cells.

    Each kind has two rows: the image, and below it the stain with true cells in blue and those
    of the stain in orange.
    """
    kinds = list(dict.fromkeys(one.kind for one in examples))
    rows = [[one for one in examples if one.kind == kind] for kind in kinds]
    columns, side = max(map(len, rows)), _SHOWN + _GAP
    sheet = np.ones((2 * len(rows) * side, columns * side, 3))
    figure = Figure(figsize=(1.9 * columns + 0.6, 3.8 * len(rows) + 0.3), layout="constrained")
    axes = figure.subplots()
    for i, row in enumerate(rows):
        for j, one in enumerate(row):
            y, x = middle(one.image.shape, _SHOWN)
            image = np.repeat(grey(one.image[y, x])[..., None], 3, axis=2)
            cells = (one.true[y, x], TRUE), (one.found[y, x], VIRTUAL)
            for k, panel in enumerate((image, outlined(one.stain[y, x], *cells))):
                height, width = panel.shape[:2]
                top, left = (2 * i + k) * side, j * side
                sheet[top : top + height, left : left + width] = panel
            text = f"{one.level:g}" + " (as it is)" * (one.level == NEUTRAL[one.kind])
            axes.text(
                j * side + 5, 2 * i * side + 6, text, fontsize=7, va="top", color="white",
                bbox={"facecolor": "black", "alpha": 0.6, "pad": 1.5, "lw": 0},
            )  # fmt: skip
    # One image: a grid of many axes takes a minute to lay out.
    axes.imshow(sheet, interpolation="nearest")
    axes.set_yticks([(2 * i + 1) * side for i in range(len(rows))], kinds, fontsize=9)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for colour, name in ((TRUE, "true"), (VIRTUAL, "in the virtual stain")):
        axes.plot([], [], c=colour, lw=2, label=name)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8, frameon=False)
    return figure
