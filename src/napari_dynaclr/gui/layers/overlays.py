"""Layers over the FOV that no stage makes: what networks see in a frame, and likely events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Points
from napari.utils.colormaps import Colormap

from napari_dynaclr.core.tasks import find_task
from napari_dynaclr.gui.layers.features import ROLE, feature_layers
from napari_dynaclr.gui.layers.scene import OWNER, space_of
from napari_dynaclr.session.arrow_maps import ATTRIBUTION, FEATURES
from napari_dynaclr.session.colours import hex_rgba
from napari_dynaclr.session.events import DIVIDES, DIVIDES_NOT, DIVISION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_dynaclr.gui.layers.keeper import FovLayers
    from napari_dynaclr.session.session import Session
    from napari_dynaclr.session.stacks import PlaneStack

MAP = "map "
"""How the roles of layers begin that show a map of every frame, one after the other."""

_GLOW = Colormap(
    [[1.0, 0.35, 0.0, 0.0], [1.0, 0.35, 0.0, 0.15], [1.0, 0.6, 0.0, 0.7], [1.0, 1.0, 0.3, 1.0]],
    controls=[0.0, 0.25, 0.6, 1.0],
    name="time arrow",
)
"""Clear where nothing tells the order of time: added to bright cells, it would not be seen."""

_LOOKS: dict[str, dict[str, Any]] = {
    FEATURES: {
        "name": "time arrow: features",
        "blending": "translucent_no_depth",
        "opacity": 0.75,
    },
    ATTRIBUTION: {
        "name": "time arrow: attribution",
        "blending": "translucent_no_depth",
        "colormap": _GLOW,
        "interpolation2d": "linear",
    },
}

EVENT_UM = 14.0
"""Diameter of an event in the image, in um."""

_OPEN, _CURRENT, _REJECTED = "#ffd23f", "#35c9ff", "#a0a0a0"
_WHITE = np.ones(4)
_THIN, _THICK = 0.08, 0.13
"""Width of a ring, as a part of its diameter."""
_SAID = {DIVIDES: ": division", DIVIDES_NOT: ": no division"}


class Overlays:
    """Adds, changes and removes them in a viewer.

    Parameters
    ----------
    layers
        The layers of the FOV on screen.
    session
        What they show.
    """

    def __init__(self, layers: FovLayers, session: Session) -> None:
        self._layers, self._session = layers, session
        self._limits: dict[str, tuple[float, float]] = {}
        self._slice = -1

    # -- what a staining network sees --------------------------------------

    def show_features(self, maps: Mapping[str, NDArray[np.floating]], t: int, z: int) -> None:
        """Show feature maps of a frame, on top of all else, in place of those of another.

        Parameters
        ----------
        maps, t, z
            As of :func:`~napari_dynaclr.gui.layers.features.feature_layers`.
        """
        self.hide_features()
        scene = self._layers.scene
        if scene is not None:
            for role, layer in feature_layers(scene.fov, maps, t, z).items():
                self._layers.add(role, layer)

    def hide_features(self) -> None:
        """Take feature maps away."""
        for role in self._of(ROLE):
            self._layers.remove(role)

    @property
    def has_features(self) -> bool:
        """Whether there are feature maps."""
        return bool(self._of(ROLE))

    def _of(self, beginning: str) -> list[str]:
        return [role for role in self._layers.roles if role.startswith(beginning)]

    # -- what a time-arrow network sees -------------------------------------

    def show_map(self, kind: str, stack: PlaneStack, most: float = 1.0) -> None:
        """Show a map of the movie, of which frames arrive one by one.

        Parameters
        ----------
        kind
            :data:`FEATURES` or :data:`ATTRIBUTION`.
        stack
            Its planes; what has been put into it since is shown, too.
        most
            Intensity at the upper end of the colours, unless the user has set another.
        """
        scene, role = self._layers.scene, f"{MAP}{kind}"
        layer = self._layers.layer(role)
        if scene is None:
            return
        about = {**_LOOKS[kind], **space_of(scene.fov), "metadata": {OWNER: role}}
        if kind == ATTRIBUTION:
            about["contrast_limits"] = (0.0, most)
        if layer is None:
            layer = Image(stack, rgb=kind == FEATURES, multiscale=False, **about)
            self._layers.add(role, layer)
        elif layer.data is not stack:
            layer.data = stack
        else:
            layer.refresh()
        if kind == ATTRIBUTION:
            if tuple(layer.contrast_limits) == self._limits.get(role, (0.0, most)):
                layer.contrast_limits_range = layer.contrast_limits = (0.0, most)
            self._limits[role] = (0.0, most)

    def has_map(self, kind: str) -> bool:
        """Whether a map is shown."""
        return self._layers.layer(f"{MAP}{kind}") is not None

    def is_dismissed(self, kind: str) -> bool:
        """Whether the user has deleted a map."""
        return self._layers.dismissed(f"{MAP}{kind}")

    def welcome(self, kind: str) -> None:
        """Let a map that the user deleted come back."""
        self._layers.readmit({f"{MAP}{kind}"})

    def hide_map(self, kind: str) -> None:
        """Take a map away."""
        self._layers.remove(f"{MAP}{kind}")
        self._limits.pop(f"{MAP}{kind}", None)

    def hide_maps(self) -> None:
        """Take all of them away."""
        for role in self._of(MAP):
            self.hide_map(role.removeprefix(MAP))

    # -- likely events -----------------------------------------------------

    def show_events_in(self, z: int) -> None:
        """Draw the likely events in a slice, whichever they are in: many are of a projection.

        Parameters
        ----------
        z
            The slice; -1 for each in its own.
        """
        self._slice = z
        self.show_events()

    def show_events(self) -> None:
        """Draw the likely events of the FOV on screen, if there are any.

        Each has its rank beside it, and what it was said to be; the ring of the one that is
        looked at is larger and thicker.
        """
        scene, events = self._layers.scene, self._session.events
        here = events.found.of(scene.fov.name) if scene is not None else []
        layer = self._layers.layer("events")
        if scene is None or not here:
            self._layers.remove("events")
            return
        if layer is None and self._layers.dismissed("events"):
            return
        if layer is None:
            layer = Points(
                np.zeros((0, 4)),
                ndim=4,
                name="likely events",
                face_color="transparent",
                border_width=_THIN,
                border_width_is_relative=True,
                canvas_size_limits=(10, 80),
                metadata={OWNER: "events"},
                **space_of(scene.fov),
            )
            self._layers.add("events", layer)
        current = np.array([i == events.found.position for i, _ in here])
        verdicts = [events.verdict(one) for _, one in here]
        colours = np.array(
            [self._colour(*about) for about in zip(verdicts, current, strict=True)], float
        )
        size = EVENT_UM / max(scene.fov.scale[1:])
        data = np.array([(one.t, *one.position) for _, one in here], float)
        if self._slice >= 0:
            data[:, 1] = self._slice
        with layer.events.blocker_all():
            layer.selected_data = set()
            layer.data = data
            layer.editable = False  # new data make it editable again
            layer.face_color = np.zeros((len(here), 4))
            layer.border_color = colours
            layer.border_width = np.where(current, _THICK, _THIN)
            layer.size = np.where(current, 1.35, 1.0) * size
        layer.text = {
            "string": [
                f"{i + 1}{_SAID.get(verdict, '')}"
                for (i, _), verdict in zip(here, verdicts, strict=True)
            ],
            # The colours of states are too dark to be read over an image.
            "color": np.where(np.array(verdicts)[:, None] != "", _WHITE, colours),
            "size": 13,
            "anchor": "lower_left",
            "translation": [0, 0, -0.3 * size, 0.85 * size],
        }
        layer.scale = space_of(scene.fov)["scale"]
        layer.refresh()

    def _colour(self, verdict: str, current: bool) -> NDArray[np.floating]:
        if verdict:
            task = find_task(DIVISION, self._session.tasks)
            colour = task.colour(verdict) if verdict == DIVIDES else _REJECTED
        else:
            colour = _CURRENT if current else _OPEN
        return np.array(hex_rgba(colour), float) / 255
