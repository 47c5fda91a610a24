"""For how long tracks are free of errors, as a picture (cellect.txt, Fig. 2b)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from napari_dynaclr.core.tasks import PALETTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


def draw_error_free(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the fraction of stretches without an error over their length.

    Parameters
    ----------
    curves
        ``frames`` and ``fraction``, by what they are of; one without a name needs no legend.
    """
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    for i, (name, curve) in enumerate(curves.items()):
        axes.plot(
            curve["frames"], 100 * curve["fraction"], color=PALETTE[i % len(PALETTE)], label=name
        )
    axes.set(xlabel="length (frames)", ylabel="stretches without an error (%)", ylim=(0, 102))
    axes.set_xlim(left=0)
    axes.spines[["top", "right"]].set_visible(False)
    if any(curves):
        axes.legend(frameon=False)
    return figure
