"""Engines that track, as a picture: errors, error-free tracks, time (cellect.txt, Fig. 2a-c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from napari_dynaclr.core.tasks import PALETTE
from napari_dynaclr.evaluation.tracking_errors import ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


def draw_trackers(table: pd.DataFrame, lengths: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the five types of error, stretches without an error, and time per frame.

    Parameters
    ----------
    table
        ``engine``, errors in 1,000 true links and ``seconds_per_frame``.
    lengths
        ``frames`` and ``fraction`` by engine.
    """
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    kinds, free, cost = figure.subplots(1, 3, width_ratios=(5, 4, 3))
    colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(table["engine"])}
    place, width = np.arange(len(ERRORS)), 0.8 / len(table)
    for i, (name, row) in enumerate(table.set_index("engine").iterrows()):
        heights = row[list(ERRORS)].astype(float)
        kinds.bar(place + (i + 0.5) * width - 0.4, heights, width, color=colours[str(name)])
    names = [kind.replace("_", "\n") for kind in ERRORS]
    kinds.set_xticks(place, names, fontsize=8)
    kinds.set_ylabel("errors in 1,000 true links")
    for name, curve in lengths.items():
        free.plot(curve["frames"], 100 * curve["fraction"], color=colours[name], label=name)
    free.set(xlabel="length (frames)", ylabel="stretches without an error (%)", ylim=(0, 102))
    free.set_xlim(left=0)
    free.legend(frameon=False, fontsize=8)
    seconds = table["seconds_per_frame"].astype(float)
    cost.barh(table["engine"], seconds, color=[colours[name] for name in table["engine"]])
    cost.invert_yaxis()
    cost.set_xlabel("seconds per frame")
    for axes in (kinds, free, cost):
        axes.spines[["top", "right"]].set_visible(False)
    return figure
