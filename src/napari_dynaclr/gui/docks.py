"""Docks: bring one to the front, opened if it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari import Viewer


def bring_up(viewer: Viewer, name: str, stage: str = "") -> None:
    """Show one of the plugin's docks, in front of those that it shares its place with.

    Parameters
    ----------
    viewer
        Where.
    name
        As in the manifest, such as "Segment and track".
    stage
        The stage whose panel is to be seen, of a dock that has several.
    """
    dock, widget = viewer.window.add_plugin_dock_widget("napari-dynaclr", name, True)
    dock.show()
    dock.raise_()
    if stage:
        widget.show_stage(stage)
