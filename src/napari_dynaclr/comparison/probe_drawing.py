"""Average precision against the number of labels, as a picture (tap.txt, Fig. 4a)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from napari_dynaclr.core.tasks import GREY, PALETTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


def draw_probes(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Draw a curve per way of learning.

    Parameters
    ----------
    table
        ``way``, ``labels``, ``ap``, ``ap_sd`` and ``chance``.
    titles
        What ways are called.
    """
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    axes = figure.subplots()
    colours = {way: PALETTE[i % len(PALETTE)] for i, way in enumerate(titles)}
    for name, curve in table.groupby("way", sort=False):
        way = str(name)
        axes.plot(
            curve["labels"], curve["ap"], marker="o", ms=4, color=colours[way], label=titles[way]
        )
        low, high = curve["ap"] - curve["ap_sd"], curve["ap"] + curve["ap_sd"]
        axes.fill_between(
            curve["labels"], low.fillna(curve["ap"]), high.fillna(curve["ap"]), lw=0, alpha=0.15,
            color=colours[way],
        )  # fmt: skip
    chance = float(table["chance"].iloc[0])
    axes.axhline(chance, color=GREY, lw=1, ls="--", label=f"chance: {chance:.2f}")
    axes.set_xscale("log", base=2)
    sizes = sorted(set(table["labels"]))
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set(xlabel="labelled crops", ylabel="average precision", ylim=(0, 1.02))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure
