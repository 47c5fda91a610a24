"""How good a ranked list of events is, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from napari_dynaclr.core.tasks import GREY, PALETTE

if TYPE_CHECKING:
    import pandas as pd

_RIGHT, _WRONG = PALETTE[2], PALETTE[1]


def draw_events(curve: pd.DataFrame, places: float, cells: float, first: int) -> Figure:
    """Draw the precision by rank, and over the recall.

    Parameters
    ----------
    curve
        ``rank``, ``right``, ``precision`` and ``recall``.
    places, cells
        What random places, and cells, would score; NaN where that is not known.
    first
        Rank that is marked.
    """
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    by_rank, by_recall = figure.subplots(1, 2, sharey=True)
    right = curve["right"].to_numpy(bool)
    by_rank.plot(curve["rank"], curve["precision"], color=PALETTE[0])
    for chosen, colour, label in ((right, _RIGHT, "a division"), (~right, _WRONG, "none")):
        ranks = curve["rank"][chosen]
        by_rank.plot(ranks, np.full(len(ranks), -0.03), "|", color=colour, label=label, ms=7)
    by_rank.axvline(first, color=GREY, lw=0.8, ls=":")
    by_rank.set(xlabel="rank", ylabel="precision", ylim=(-0.08, 1.03))
    by_recall.plot(curve["recall"], curve["precision"], color=PALETTE[0])
    by_recall.set(xlabel="recall", xlim=(0, 1.02))
    for axes in (by_rank, by_recall):
        for level, style, name in ((places, "--", "random places"), (cells, "-.", "random cells")):
            if np.isfinite(level):
                axes.axhline(level, color=GREY, lw=1, ls=style, label=f"{name}: {level:.3f}")
        axes.spines[["top", "right"]].set_visible(False)
    by_rank.legend(frameon=False, fontsize=8)
    return figure
