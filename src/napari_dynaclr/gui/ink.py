"""Colours for the charts, from napari's theme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.theme import get_theme

from napari_dynaclr.gui.drawings import Ink

if TYPE_CHECKING:
    from napari import Viewer


def ink_of(viewer: Viewer) -> Ink:
    """Return the colours of a viewer's theme: charts lie on the background of the docks."""
    theme = get_theme(viewer.theme)
    return Ink(
        theme.text.as_hex(format="long"),
        theme.background.as_hex(format="long"),
        theme.current.as_hex(format="long"),
    )
