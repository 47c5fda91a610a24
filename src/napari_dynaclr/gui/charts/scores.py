"""Scores beside chance, drawn by matplotlib; knows no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.gui.charts.drawings import open_axes, style_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from napari_dynaclr.gui.charts.drawings import Ink

ROW, REST = 20, 44
"""Height of a bar, and of all else, in logical pixels."""


def height_of(bars: pd.DataFrame) -> int:
    """Height in logical pixels in which some bars can be read."""
    return REST + ROW * len(bars)


def draw_scores(figure: Figure, ink: Ink, bars: pd.DataFrame, label: str) -> None:
    """Draw a bar for each score, and a line where chance would be.

    Parameters
    ----------
    figure, ink
        Where and with what.
    bars
        ``name``, ``score`` and ``chance`` from 0 to 1, and whether it ``tells`` more than
        chance; those that do not are pale.
    label
        What the scores are.
    """
    axes = figure.subplots()
    style_axes(axes, ink)
    open_axes(axes)
    places = range(len(bars))
    for place, (score, tells) in enumerate(zip(bars["score"], bars["tells"], strict=True)):
        axes.barh(place, score, 0.62, color=ink.accent, alpha=1.0 if tells else 0.4)
    for place, chance in zip(places, bars["chance"], strict=True):
        axes.plot([chance] * 2, [place - 0.42, place + 0.42], color=ink.text, linewidth=1.6)
    axes.set_yticks(list(places), [str(name) for name in bars["name"]])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel(f"{label} (line: chance)", labelpad=2)
    axes.tick_params(axis="y", length=0)
