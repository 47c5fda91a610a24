"""What a time-arrow network sees in single frames: read where it was saved, else computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.fov import Fov
from napari_dynaclr.core.plate_writer import is_without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.embedding.tap.frames import TapViewParams

FEATURES, ATTRIBUTION = "features", "attribution"
"""Kinds of maps."""


@dataclass(frozen=True)
class Made:
    """Maps of one frame.

    Attributes
    ----------
    planes
        By kind: features as red, green and blue from 0 to 1, (Y, X, 3); attribution,
        above 0 where this order is told, (Y, X).
    read
        Whether all of them had been saved.
    hindrance
        Why one is missing, "" if none is.
    """

    planes: dict[str, NDArray[Any]] = field(default_factory=dict)
    read: bool = False
    hindrance: str = ""


class ArrowMaps:
    """Makes maps of frames; the network stays open from frame to frame, the colours the same."""

    def __init__(self) -> None:
        self._viewer: Any = None
        self._basis: Any = None

    def make(
        self,
        dataset: Dataset,
        fov_name: str,
        t: int,
        z: int,
        kinds: Sequence[str],
        params: Params,
        events: str,
        job: Job,
        *,
        compute: bool = True,
    ) -> Made:
        """Read or compute maps of a frame; in a job.

        Parameters
        ----------
        dataset, fov_name, t, z
            The frame, and its slice.
        kinds
            Which maps: :data:`FEATURES`, :data:`ATTRIBUTION`.
        params
            Settings of the search for events, or others that say which TAP network.
        events
            Name of the search whose saved maps are shown rather than others computed, if they
            were made with these settings; "" for none.
        job
            For cancelling.
        compute
            Whether what is not saved is computed.

        Raises
        ------
        InvalidInput
            If there are no such weights or channel, or the movie is too short and nothing but
            the attribution is wanted.
        MissingExtra
            If torch is not installed.
        """
        from napari_dynaclr.embedding.tap import frames

        seen = frames.TapViewParams.of(params)
        found: dict[str, NDArray[Any]] = {}
        for kind in kinds:
            saved = saved_maps(dataset, fov_name, events, kind, seen, job)
            if saved is not None:
                found[kind] = self._read(saved, t, z, kind)
        left = [kind for kind in kinds if kind not in found]
        if not left:
            return Made(found, read=True)
        if not compute:
            return Made(found, hindrance="computed when the step that is running has ended")
        self._viewer = self._viewer or frames.Viewer()

        def see(kinds: Sequence[str]) -> dict[str, Any]:
            asked = {kind: kind in kinds for kind in (FEATURES, ATTRIBUTION)}
            made: dict[str, Any] = self._viewer.maps(
                dataset, fov_name, t, seen, job, z=z, basis=self._basis, **asked
            )
            return made

        late = "no later frame to compare"
        try:
            made = see(left)
        except InvalidInput as error:
            if ATTRIBUTION not in left or len(kinds) == 1:
                raise
            # A movie that is too short for pairs has features all the same.
            made, late = see([FEATURES]) if FEATURES in left else {}, str(error)
        self._basis = made.get("basis", self._basis)
        found |= {kind: made[kind] for kind in left if kind in made}
        lacks = ATTRIBUTION in left and ATTRIBUTION not in found
        return Made(found, hindrance=late if lacks else "")

    def _read(self, saved: Fov, t: int, z: int, kind: str) -> NDArray[Any]:
        place = min(z, saved.shape[1] - 1)  # 0 of a projection
        here = slice(place, place + 1)
        ((_, frame),) = saved.frames(saved.channels, [t], allow_empty=True, slices=here)
        plane = frame[:, 0]
        if kind == ATTRIBUTION:
            attribution: NDArray[Any] = plane[0].clip(0)  # below, what tells the other order
            return attribution
        from napari_dynaclr.embedding.tap.colours import pca_colours

        colours, self._basis = pca_colours(plane, self._basis)
        return colours

    @property
    def is_open(self) -> bool:
        """Whether a network may be held."""
        return self._viewer is not None

    def close(self) -> None:
        """Let go of the network and its memory; waits for what it is at."""
        if self._viewer is not None:
            self._viewer.close()
        self._basis = None


def saved_maps(
    dataset: Dataset, fov_name: str, events: str, kind: str, params: TapViewParams, job: Job
) -> Fov | None:
    """Return the maps of a FOV that a search for events has saved; None if it has not.

    Those of other settings, such as another network, do not count.
    """
    workspace, fov = dataset.workspace, dataset.whole[fov_name]
    result = f"events.{events}.{kind}"
    made = workspace.key(result, fov) if events else None
    if made is None or workspace.outdated(result, fov):
        return None
    from napari_dynaclr.embedding.events.tap import key_of_maps

    wanted = key_of_maps(dataset, fov, params, job)
    if made != wanted and not is_without(made, wanted):
        return None
    return Fov(workspace.plate(result) / fov.name, fov.name)
