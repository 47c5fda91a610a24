"""Colours of napari's theme, for what is drawn rather than styled."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

from napari.utils.theme import get_theme

if TYPE_CHECKING:
    from napari import Viewer

    from napari_dynaclr.gui.scatter.plot import PointCloud


def theme_colours(viewer: Viewer) -> tuple[str, str]:
    """Return background and text colour of a viewer's theme, "#rrggbb"."""
    theme = get_theme(viewer.theme)
    return theme.canvas.as_hex(format="long"), theme.text.as_hex(format="long")


def follow_theme(viewer: Viewer, cloud: PointCloud) -> None:
    """Keep a point cloud in a viewer's theme for as long as it lives."""
    seen = ref(cloud)

    def apply(_event: object = None) -> None:
        there = seen()
        if there is not None:
            try:
                there.set_theme(*theme_colours(viewer))
            except RuntimeError:  # Qt has taken it away already
                viewer.events.theme.disconnect(apply)
        else:
            viewer.events.theme.disconnect(apply)

    viewer.events.theme.connect(apply)
    apply()
