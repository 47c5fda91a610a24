"""The mouse in the image: which cell is under it, and what a click does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari import Viewer

    from napari_dynaclr.gui.workbench import Workbench

_TOOLS = ("pan_zoom", "transform")
"""Modes of a layer in which a click is not the layer's own."""


class Mouse:
    """Turns clicks in the canvas into selections and annotations.

    Parameters
    ----------
    bench
        The viewer's workbench.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._viewer: Viewer = bench.viewer
        self._viewer.mouse_drag_callbacks.append(self._pressed)

    def row_at(self, position: tuple[float, ...]) -> int:
        """Row of the cell at a place in the viewer's world; -1 where there is none."""
        session, layers = self._bench.session, self._bench.layers
        scene = layers.scene
        if scene is None or len(position) < 3:
            return -1
        place = np.asarray(position[-3:]) / scene.fov.scale
        if self._viewer.dims.ndisplay == 3:
            return self._row_along_ray(position)
        if not ((place >= -0.5) & (place < np.array(scene.fov.shape[1:]) - 0.5))[1:].all():
            return -1
        if scene.key != session.cells.keys.get(scene.fov.name, ""):
            return -1  # tracked anew: the cells of these labels are still being read
        z, y, x = (float(one) for one in place)
        label = 0
        if scene.labels is not None:
            at = np.clip(np.round(place).astype(int), 0, np.array(scene.fov.shape[1:]) - 1)
            label = int(scene.labels[(session.frame, *at)])
        return session.cell_at((z, y, x), label, self._bench.radius)

    def _row_along_ray(self, position: tuple[float, ...]) -> int:
        """In 3D, the first label that the line of sight meets."""
        session, layer = self._bench.session, self._bench.layers.layer("cells")
        if layer is None or session.fov is None or not layer.visible:
            return -1
        value = layer.get_value(
            position,
            view_direction=self._viewer.scene.camera.calculate_nd_view_direction(
                self._viewer.dims.ndim, self._viewer.dims.displayed
            ),
            dims_displayed=list(self._viewer.dims.displayed),
            world=True,
        )
        here = session.here()
        hit = here[session.cells.track[here] == (value or 0)]
        return int(hit[0]) if len(hit) else -1

    def row_under_cursor(self) -> int:
        """Row of the cell under the mouse; -1 where there is none or the mouse is elsewhere."""
        if not self._viewer.mouse_over_canvas:
            return -1
        return self.row_at(tuple(self._viewer.cursor.position))

    def _pressed(self, _viewer: Viewer, event: Any) -> Iterator[None]:
        if event.button != 1 or self._is_tool_in_use():
            return
        # vispy's keys are equal to their names, but do not print as them.
        several = "Shift" in tuple(event.modifiers)
        yield
        while event.type == "mouse_move":
            if _moved(event):
                return  # a drag pans; it is no click
            yield
        self._clicked(tuple(event.position), several)

    def _clicked(self, position: tuple[float, ...], several: bool) -> None:
        session = self._bench.session
        if self._bench.finding.pick(position):
            return
        if not len(session.here()):
            if session.fov is not None:
                session.say("no tracked cells here: run Segment and track")
            return
        corrections = session.corrections
        if corrections.adding and self._bench.correcting.add_at(position):
            return
        row = self.row_at(position)
        if row < 0:
            if not several:
                session.select([])
            session.say(f"no cell within {self._bench.radius:g} um of the click")
            return
        if corrections.active:
            corrections.pick(row, second=several)
            session.say(self.known(row))
            return
        if several:
            session.select([row], "toggle")
            session.say(f"{len(session.selection)} cells selected")
            return
        session.select([row])
        if session.state:
            session.annotate([row], session.state)
        else:
            session.say(self.known(row))

    def known(self, row: int) -> str:
        """Say what is known of a cell, in a line."""
        session = self._bench.session
        cells = session.cells
        text = session.describe(row)
        given = session.marks.get(cells.name(row), int(cells.id[row]), session.task.name)
        if given is not None:
            text += f", {session.task.name}: {given.state}"
        linked = (
            cells.parent[row] >= 0
            or cells.of_track(cells.name(row), int(cells.track[row]))[0] < row
        )
        if linked and len(cells.reliability) and np.isfinite(cells.reliability[row]):
            text += f", link {cells.reliability[row]:.0%} reliable"
        prediction = cells.predictions.get(session.task.name)
        if prediction is not None and prediction.codes[row] >= 0:
            state = prediction.states[prediction.codes[row]]
            text += f", predicted {state} ({prediction.confidence[row]:.0%})"
        return text

    def _is_tool_in_use(self) -> bool:
        """Whether the active layer does something of its own with clicks, such as painting."""
        active = self._viewer.layers.selection.active
        return active is not None and str(getattr(active, "mode", "pan_zoom")) not in _TOOLS


def _moved(event: Any) -> bool:
    """Whether the mouse has gone further from where it was pressed than a hand trembles."""
    start = event.press_event.pos if getattr(event, "press_event", None) is not None else event.pos
    return float(np.abs(np.asarray(event.pos) - np.asarray(start)).max()) > 4
