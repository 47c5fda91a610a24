"""Colours for the charts, from napari's theme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.theme import get_theme

from napari_dynaclr.gui.charts.drawings import Ink

if TYPE_CHECKING:
    from napari import Viewer

_ON_DARK, _ON_LIGHT = "#56b4e9", "#0072b2"


def ink_of(viewer: Viewer) -> Ink:
    """Return the colours of a viewer's theme: charts lie on the background of the docks."""
    theme = get_theme(viewer.theme)
    red, green, blue = theme.background.as_rgb_tuple()[:3]
    # The theme's own accent is made for areas: thin lines in it cannot be seen.
    accent = _ON_DARK if red + green + blue < 3 * 128 else _ON_LIGHT
    return Ink(theme.text.as_hex(format="long"), theme.background.as_hex(format="long"), accent)
