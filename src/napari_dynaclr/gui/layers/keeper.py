"""The layers of one viewer that are ours, kept true to what its session looks at."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Points
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap, label_colormap

from napari_dynaclr.gui.layers.growing import Growing
from napari_dynaclr.gui.layers.marks import dots, label_colours
from napari_dynaclr.gui.layers.overlays import MAP, Overlays
from napari_dynaclr.gui.layers.pair import pair
from napari_dynaclr.gui.layers.scene import OWNER, Scene, is_seen, look_of, space_of
from napari_dynaclr.gui.layers.tracks import TAIL, TrackWindow, take_over

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari import Viewer
    from napari.layers import Layer, Tracks
    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Part
    from napari_dynaclr.session.cells import Cells
    from napari_dynaclr.session.corrected import Changes
    from napari_dynaclr.session.frames import FovImage
    from napari_dynaclr.session.session import Session

Start = Callable[
    [str, Callable[[Any], Any], Callable[[Any], None], Callable[[Exception], None]], object
]

_KINDS = {"image": Image, "labels": Labels}
_ORDER = ("channel", "part", "map", "cells", "tracks", "marks", "pair", "events", "features")
_DOT_UM = 3.0
_PAIR_UM = 12.0

STAIN = "stain"
"""Stands for the layers of all channels of the virtual stain, whatever they are called."""


class FovLayers:
    """Adds, changes and removes the layers of the FOV that a session looks at.

    A user may delete, rename, reorder or hide any of them: a layer that was deleted
    stays away until the dataset is opened again or its result is made anew, and what
    was changed by hand is kept from FOV to FOV.

    Parameters
    ----------
    viewer
        Where the layers are.
    session
        What they show.
    start
        Runs work in the background: title, work, what to do with its result or its error.
    """

    def __init__(self, viewer: Viewer, session: Session, start: Start) -> None:
        self._viewer, self._session, self._start = viewer, session, start
        self._layers: dict[str, Layer] = {}
        self._dismissed: set[str] = set()
        self._window: TrackWindow | None = None
        self._vertices: NDArray[np.intp] = np.zeros(0, np.intp)
        self._built_of: Cells | None = None
        self._building = False
        self._coloured = False
        self._growing: Growing | None = None
        self._limits: dict[str, tuple[float, float]] = {}
        self._looks: dict[str, dict[str, Any]] = {}
        self._renewed: set[str] = set()
        self.scene: Scene | None = None
        self.over = Overlays(self, session)
        """Layers that stages of the pipeline do not make."""
        viewer.layers.events.removed.connect(self._removed)

    # -- which layers there are -------------------------------------------

    def layer(self, role: str) -> Layer | None:
        """Return the layer in a role, such as "cells" or "channel Nuclei"."""
        return self._layers.get(role)

    def owns(self, layer: Layer | None) -> bool:
        """Whether a layer is one of these."""
        return layer is not None and any(layer is one for one in self._layers.values())

    def _removed(self, event: Any) -> None:
        for role, layer in list(self._layers.items()):
            if layer is event.value:
                del self._layers[role]
                self._dismissed.add(role)  # by the user: remove takes it out first

    def remove(self, role: str) -> None:
        """Take a layer away; it may come again."""
        layer = self._layers.pop(role, None)
        if layer is not None and layer in self._viewer.layers:
            # Napari has Python look for garbage after every layer, a quarter of a second
            # in a grown program; frozen, it has nothing to look through.
            gc.freeze()
            try:
                self._viewer.layers.remove(layer)
            finally:
                gc.unfreeze()

    @property
    def roles(self) -> list[str]:
        """What the layers that are there show."""
        return list(self._layers)

    def dismissed(self, role: str) -> bool:
        """Whether the user has deleted the layer of a role."""
        return role in self._dismissed

    def add(self, role: str, layer: Layer) -> None:
        """Add a layer below those that belong above it; the user's own stay where they are."""
        rank = _rank(role)
        above = [one for known, one in self._layers.items() if _rank(known) > rank]
        active = self._viewer.layers.selection.active
        self._viewer.add_layer(layer)
        places = [self._viewer.layers.index(one) for one in above if one in self._viewer.layers]
        if places:
            self._viewer.layers.move(len(self._viewer.layers) - 1, min(places))
        if active is not None:  # looking at a result must not change the user's tool
            self._viewer.layers.selection.active = active
        self._layers[role] = layer
        self._dismissed.discard(role)

    def clear(self) -> None:
        """Remove all layers of a dataset that is closed, and forget what was dismissed."""
        for role in list(self._layers):
            self.remove(role)
        self._dismissed.clear()
        self._renewed.clear()
        self._window = self.scene = self._growing = None

    def release(self) -> None:
        """Let go of everything: the viewer is closing."""
        self._viewer.layers.events.removed.disconnect(self._removed)
        self._layers.clear()
        self._window = self.scene = self._growing = None

    def readmit(self, roles: set[str]) -> None:
        """Let layers that the user deleted come back, because they show something new.

        Images that are still there get the contrast of what is new, unless the user has set
        another; what was seen of the network that made them goes.

        Parameters
        ----------
        roles
            Whose; :data:`STAIN` is for all channels of the virtual stain.
        """
        self._dismissed -= roles
        self._renewed |= roles

    # -- images and labels ------------------------------------------------

    def show(self, scene: Scene) -> None:
        """Show a FOV; layers of the same role keep what the user set on them."""
        first = self.scene is None
        another = self.scene is not None and self.scene.fov.name != scene.fov.name
        if another or STAIN in self._renewed:
            self.over.hide_features()
        if another:
            self.over.hide_maps()
        self.scene, self._growing = scene, None
        if STAIN in self._renewed:
            self.readmit({f"channel {name}" for name in scene.fov.stained})
        wanted = [role for role in scene.layers if role not in self._dismissed]
        for role in [one for one in self._layers if _rank(one) < _rank("tracks")]:
            if role not in wanted and not role.startswith(MAP):
                self.remove(role)
        for role in wanted:
            data, about, kind = scene.layers[role]
            layer = self._layers.get(role)
            if layer is None:
                self._add_new(role, data, about, kind)
                if kind == "labels":
                    # Hidden ones are not coloured; they catch up when they are shown.
                    self._layers[role].events.visible.connect(self._colour_labels)
            else:
                self._replace(role, data, about, anew=role in self._renewed)
        self._renewed.clear()
        if first:
            self._viewer.reset_view()
            self._viewer.canvas.overlays.scale_bar.visible = True

    def _add_new(self, role: str, data: Any, about: dict[str, Any], kind: str) -> None:
        # The class itself: viewer.add_image would look for channels and contrast.
        self.add(role, _KINDS[kind](data, **about))
        if kind == "labels":
            self._layers[role].editable = False
        else:
            self._limits[role] = about["contrast_limits"]
            self._looks[role] = _look(self._layers[role])

    def _replace(self, role: str, data: Any, about: dict[str, Any], *, anew: bool) -> None:
        """Show the same of another FOV, or made anew: what the user set on the layer stays."""
        layer = self._layers[role]
        layer.data = data
        if isinstance(layer, Labels):
            layer.editable = False  # new data make it editable again
        if tuple(layer.scale) != tuple(about["scale"]):
            layer.scale = about["scale"]
        if anew and isinstance(layer, Image) and tuple(layer.contrast_limits) == self._limits[role]:
            self._limits[role] = about["contrast_limits"]
            layer.contrast_limits_range = layer.contrast_limits = about["contrast_limits"]
        if role in self._looks:
            self._restyle(role, about)

    def _restyle(self, role: str, about: Mapping[str, Any]) -> None:
        """Change how a channel looks with what is beside it, as far as the user has not.

        One that the user has given another colour is not hidden or shown either.
        """
        layer, given = self._layers[role], self._looks[role]
        now = _look(layer)
        free = [name for name in now if now[name] == given[name]]
        if len(free) < len(now):
            free = [name for name in free if name != "visible"]
        for name in free:
            if now[name] != about[name]:
                setattr(layer, name, about[name])
                given[name] = about[name]

    def show_part(self, part: Part) -> None:
        """Show a time point of a result that is still being made; it is read in a job."""
        scene, growing = self.scene, self._growing
        if scene is None or part.fov_name != scene.fov.name:
            return
        frame = self._session.frame
        if growing is None or growing.result != part.result:
            growing = self._growing = Growing(part, scene.fov)
            read = growing.prepare
        else:
            growing.made(part.t)
            if part.t != frame or not growing.layers:
                return
            read = partial(growing.load, frame)

        def done(_: Any) -> None:
            if self._growing is growing:
                self._show_growing(growing)

        def failed(_error: Exception) -> None:
            """Complete by now, and no longer there: it is shown when the stage ends."""

        self._start("read what is being made", lambda _job: read(), done, failed)

    def _show_growing(self, growing: Growing) -> None:
        for role, (data, about, kind) in growing.layers.items():
            layer = self._layers.get(role)
            if layer is None and role not in self._dismissed:
                self._add_new(role, data, about, kind)
            elif layer is not None and layer.data is data:
                layer.refresh()
            elif layer is not None:  # made anew: it shows what an earlier run has made
                self._replace(role, data, about, anew=True)
        self._make_way(growing)

    def _make_way(self, growing: Growing) -> None:
        """Have experimental stain look as it does beside the virtual stain that is being made."""
        images = [role for role, (_, _, kind) in growing.layers.items() if kind == "image"]
        if self.scene is None or not images:
            return
        fov = self.scene.fov
        stained = [*fov.stained, *(role.removeprefix("channel ") for role in images)]
        for channel in fov.channels:
            role = f"channel {channel}"
            if role in self._layers and channel not in stained:
                seen = is_seen(channel, fov.channels, stained)
                self._restyle(role, {**look_of(channel, stained), "visible": seen})

    def end_parts(self) -> None:
        """Take away what showed results that were being made.

        Images stay, until :meth:`show` puts what is complete in their place, or nothing.
        """
        self._growing = None
        for role in [one for one in self._layers if one.startswith("part ")]:
            self.remove(role)
        self._dismissed = {one for one in self._dismissed if not one.startswith("part ")}

    # -- tracks and marks -------------------------------------------------

    def show_cells(self) -> None:
        """Show the tracks and marks of the FOV's cells."""
        scene, session = self.scene, self._session
        if scene is None or scene.fov.name not in session.cells.fovs:
            self._window = None
            self.remove("tracks")
            self.remove("marks")
            self.remove("pair")
            self.over.show_events()
            return
        space = space_of(scene.fov)
        self._window = TrackWindow(session.cells, scene.fov.name, scene.fov.shape[0])
        self._build_tracks()
        marks = self._layers.get("marks")
        if marks is None and "marks" not in self._dismissed:
            layer = Points(
                np.zeros((0, 4)),
                ndim=4,
                name="annotations",
                border_width=0.15,
                border_width_is_relative=True,
                canvas_size_limits=(4, 40),
                metadata={OWNER: "marks"},
                **space,
            )
            self.add("marks", layer)
            layer.editable = False
            layer.events.visible.connect(self.show_marks)
        elif marks is not None:
            marks.scale = space["scale"]
        self.recolour()
        self.over.show_events()

    def _build_tracks(self) -> None:
        """Have the tracks around the frame on screen built, and show them when they are."""
        window, scene, cells = self._window, self.scene, self._session.cells
        if window is None or scene is None or "tracks" in self._dismissed or self._building:
            return
        frame = self._session.frame
        about = {
            "name": "tracks",
            "tail_length": TAIL,
            "tail_width": 2,
            "metadata": {OWNER: "tracks"},
            **space_of(scene.fov),
        }

        def done(built: tuple[Tracks, NDArray[np.intp]]) -> None:
            self._building = False
            if self._window is window and self._session.cells is cells:
                self._show_tracks(*built, cells)
            if self._window is not None and not self._window.covers(self._session.frame):
                self._build_tracks()

        def failed(error: Exception) -> None:
            self._building = False  # or no tracks would come ever after
            self._session.fail(error)

        self._building = True
        self._start("build tracks", lambda _job: window.build(frame, **about), done, failed)

    def _show_tracks(self, built: Tracks, rows: NDArray[np.intp], cells: Cells) -> None:
        layer = self._layers.get("tracks")
        self._vertices, self._built_of = rows, cells
        if layer is None:
            if "tracks" not in self._dismissed:
                self.add("tracks", built)
        else:
            take_over(layer, built)
            layer.scale = built.scale
        self._colour_tracks()

    def _colour_tracks(self) -> None:
        layer, palette = self._layers.get("tracks"), self._session.palette
        if layer is None or palette is None or self._built_of is not self._session.cells:
            return
        if len(palette.index) == len(self._session.cells):
            layer.track_colors = palette.table[palette.index[self._vertices]] / 255.0

    def recolour(self) -> None:
        """Give tracks, labels and marks the session's colours."""
        self._colour_tracks()
        self._colour_labels()
        self.show_marks()

    def show_marks(self) -> None:
        """Draw what is annotated and selected in the frame on screen."""
        scene = self.scene
        if scene is None:
            return
        layer = self._layers.get("marks")
        if layer is None or not layer.visible:
            return
        found = dots(self._session, _DOT_UM / max(scene.fov.scale[1:]))
        with layer.events.blocker_all():
            layer.selected_data = set()
            layer.data = found.data
            layer.editable = False  # new data make it editable again
        if len(found.data):
            with layer.events.blocker_all():
                layer.face_color = found.face
                layer.border_color = found.border
                layer.size = found.size
        layer.refresh()

    def show_pair(self) -> None:
        """Draw the cells that were chosen to be corrected, where there are any."""
        scene = self.scene
        if scene is None:
            return
        found = pair(self._session)
        layer = self._layers.get("pair")
        if layer is None and (not found.names or "pair" in self._dismissed):
            return
        if layer is None:
            layer = Points(
                np.zeros((0, 4)),
                ndim=4,
                name="to correct",
                face_color="transparent",
                border_width=0.12,
                border_width_is_relative=True,
                canvas_size_limits=(14, 60),
                metadata={OWNER: "pair"},
                **space_of(scene.fov),
            )
            self.add("pair", layer)
        with layer.events.blocker_all():
            layer.selected_data = set()
            layer.data = found.data
            layer.editable = False  # new data make it editable again
        if found.names:
            size = _PAIR_UM / max(scene.fov.scale[1:])
            with layer.events.blocker_all():
                layer.border_color = found.colour
                layer.face_color = np.zeros((len(found.names), 4))
                layer.size = size
            layer.text = {
                "string": found.names,
                "color": found.text,
                "size": 14,
                "anchor": "lower_left",
                "translation": [0, 0, -0.3 * size, 0.62 * size],
            }
        layer.refresh()

    def correct(self, changes: Changes, source: Fov, image: Callable[[], FovImage]) -> None:
        """Show the label image as it was corrected.

        Parameters
        ----------
        changes
            How what is to be seen differs from the image on disk.
        source
            Where that is.
        image
            Opens it, if it is another than it was.
        """
        scene = self.scene
        if scene is None or scene.labels is None:
            return
        labels, another = scene.labels, scene.labels.source.path != source.path
        before, labels.changes = labels.changes, changes
        if another:
            labels.image, labels.source = image(), source
        layer, t = self._layers.get("cells"), self._session.frame
        if layer is not None and (another or t in before.times | changes.times):
            layer.refresh()

    def _colour_labels(self) -> None:
        layer, scene = self._layers.get("cells"), self.scene
        if layer is None or scene is None or not layer.visible:
            return
        # Numbers of segments are no track ids.
        colours = label_colours(self._session) if scene.labels is not None else None
        if colours is not None:
            layer.colormap = colours
        elif self._coloured:
            layer.colormap = label_colormap(49)
        self._coloured = colours is not None

    def set_frame(self) -> None:
        """Follow to another time point."""
        if self._window is not None and not self._window.covers(self._session.frame):
            self._build_tracks()
        self._colour_labels()
        self.show_marks()
        self.show_pair()


def _look(layer: Layer) -> dict[str, Any]:
    """Return those properties of a channel that go by what is beside it."""
    colours = {"colormap": layer.colormap.name, "blending": str(layer.blending)}
    return {**colours, "visible": layer.visible}


def _rank(role: str) -> int:
    return _ORDER.index(role.split(" ")[0])


def warm_up() -> None:
    """Have napari compile, in a job, what it needs to colour labels one by one."""
    clear, white = np.zeros(4), np.ones(4)
    for colours in (
        CyclicLabelColormap(colors=np.stack([clear, white])),
        DirectLabelColormap(color_dict={None: clear, 1: white}),
    ):
        Labels(np.ones((8, 8), np.uint32), colormap=colours)
