"""Where a viewer is: its time point, slice and field, and what is read before it gets there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.layers.growing import GrowingImage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.workbench import Workbench
    from napari_dynaclr.session.corrected import TrackLabels
    from napari_dynaclr.session.frames import FovImage

_RIM = 0.7
"""How far out from the middle of the view, 1 being its edge, a cell that one goes to may lie."""

AHEAD = (0, 1, 2, 3, -1)
"""Time points, relative to the one on screen, that are read before they are asked for."""


class Navigation:
    """Goes to cells, follows the sliders, and has images read ahead.

    Parameters
    ----------
    bench
        The viewer's workbench.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench, self._session, self._viewer = bench, bench.session, bench.viewer
        self._goes = Latest(bench.runner, bench, "show")
        self._reading = self._again = False

    def stop(self) -> None:
        """Go nowhere any more."""
        self._goes.stop()

    def _axis(self) -> int:
        """Position of time among the viewer's axes; other layers may have more axes."""
        return int(self._viewer.dims.ndim) - 4

    def step_changed(self, _event: object = None) -> None:
        """Tell the session which time point is on screen."""
        fov, axis = self._session.fov, self._axis()
        if fov is not None and axis >= 0:
            t = round(self._viewer.dims.point[axis])  # steps may be finer: other layers decide
            self._session.set_frame(min(max(t, 0), fov.shape[0] - 1))

    def read_ahead(self) -> None:
        """Have the next frames read before they are asked for."""
        if self._reading:
            self._again = True
            return
        scene = self._bench.layers.scene
        if scene is None:
            return
        frame, z = self._session.frame, self.slice_on_screen()
        images = self._images()

        def work(_job: Job) -> None:
            for step in AHEAD:
                for image in images:
                    image.load(frame + step, z)

        def done(_: Any) -> None:
            self._reading = False
            if self._again:
                self._again = False
                self.read_ahead()

        self._reading = True
        self._bench.runner.start("read ahead", work, done, failed=done, lane="ahead")

    def slice_on_screen(self) -> int:
        """Return the slice of the FOV that is on screen; the middle one where none is."""
        scene = self._bench.layers.scene
        depth = scene.fov.shape[1] if scene is not None else 1
        if scene is None or depth == 1 or self._axis() < 0:
            return (depth - 1) // 2
        z = round(float(self._viewer.dims.point[self._axis() + 1]) / scene.fov.scale[0])
        return min(max(z, 0), depth - 1)

    def _images(self) -> list[FovImage | TrackLabels]:
        """Return what a change of frame or plane has to read."""
        scene = self._bench.layers.scene
        return [
            data
            for role, (data, _, _) in (scene.layers.items() if scene is not None else ())
            if (layer := self._bench.layers.layer(role)) is not None
            and not isinstance(layer.data, GrowingImage)
            and (layer.visible or (scene is not None and data is scene.labels))
        ]

    def go_to(self, fov_name: str, node: int, then: Callable[[], None] | None = None) -> None:
        """Show a cell: its FOV, its time point, and itself in the middle.

        Parameters
        ----------
        fov_name, node
            The cell.
        then
            Called when it is shown.
        """
        fov = self._session.fov
        if fov is None or fov.name != fov_name:
            self._bench.show_fov(fov_name, then=lambda: self.go_to(fov_name, node, then))
            return
        rows = self._session.cells.find(fov_name, [node])
        if not len(rows) or rows[0] < 0:
            return
        row = int(rows[0])
        cells = self._session.cells

        def there() -> None:
            self._session.select([row])
            if then is not None:
                then()

        self._move(
            int(cells.t[row]),
            [float(one) for one in cells.position[row]],
            there,
            lambda: self._session.cells is cells,
        )

    def go_to_place(
        self,
        fov_name: str,
        t: int,
        position: Sequence[float] | None = None,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Show a place, whether there is a cell or not.

        Parameters
        ----------
        fov_name, t
            FOV and time point.
        position
            (z, y, x) in pixels; None to stay where one looks.
        then
            Called when it is shown.
        """
        fov = self._session.fov
        if fov is None or fov.name != fov_name:
            again = partial(self.go_to_place, fov_name, t, position, then)
            self._bench.show_fov(fov_name, then=again)
        elif 0 <= t < fov.shape[0]:
            here = self._session.fov
            self._move(t, position, then, lambda: self._session.fov is here)

    def _move(
        self,
        t: int,
        position: Sequence[float] | None,
        then: Callable[[], None] | None,
        still: Callable[[], bool],
    ) -> None:
        """Go to a time point and a place (z, y, x) in pixels of the FOV on screen.

        The slider moves when the images are there: napari would read them on this thread.
        """
        fov = self._session.fov
        if fov is None:
            return
        point = None
        if position is not None:
            point = [float(c) * s for c, s in zip(position, fov.scale, strict=True)]
        z = self.slice_on_screen() if position is None else round(float(position[0]))
        images = self._images()

        def work(_job: Job) -> None:
            for image in images:
                image.load(t, z)

        def go(_: Any) -> None:
            if not still():
                return
            axis = self._axis()
            if axis >= 0:  # else the user has deleted all layers that have a time
                self._viewer.dims.set_point((axis, axis + 1), (t, z * fov.scale[0]))
            self._session.set_frame(t)
            if point is not None:
                self._bring_into_view(point)
            if then is not None:
                then()

        if all(image.holds(t, z) for image in images):
            self._goes.stop()
            go(None)
        else:
            self._goes.start("read ahead", work, go, go)

    def _bring_into_view(self, point: list[float]) -> None:
        """Pan no further than it takes for a point (z, y, x) in um to be off the rim."""
        camera = self._viewer.scene.camera
        if self._viewer.dims.ndisplay == 3:
            camera.center = tuple(point)
            return
        reach = np.array(self._viewer.canvas.size) / 2 / camera.zoom * _RIM
        away = np.array(point[1:]) - camera.center[1:]
        beyond = away - np.clip(away, -reach, reach)
        if beyond.any():
            y, x = camera.center[1:] + beyond
            camera.center = (camera.center[0], float(y), float(x))
