"""What a TAP network sees in single frames, for who looks through a movie: no Qt here.

The network stays open between calls, and the features of the last frames at hand, so that going
through a movie takes one dense pass a frame.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from napari_dynaclr.core.device import Device, choose_device, require_networks
from napari_dynaclr.core.half import halved
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.tap.colours import pca_colours
from napari_dynaclr.embedding.tap.images import prepare, read
from napari_dynaclr.embedding.tap.source import TapSource, choose_channel, find_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.embedding.tap.colours import ColourBasis
    from napari_dynaclr.embedding.tap.dense import Extractor
    from napari_dynaclr.embedding.tap.recipe import Stacks, TapRecipe

_BYTES = 1 << 29
"""Memory of the features that are kept."""


class TapViewParams(TapSource):
    """What the maps of a frame depend on."""

    delta_t: int | None = Field(
        None,
        title="Time step (frames)",
        description="Frames from the earlier frame of a pair to the later one; as the network was "
        "trained, if left out.",
        ge=1,
        le=1000,
        json_schema_extra={"left_out": "as trained"},
    )

    @classmethod
    def of(cls, params: Params) -> Self:
        """Take these settings from those of something else that uses a TAP network."""
        return cls(**{name: getattr(params, name) for name in cls.model_fields})


class Viewer:
    """A TAP network at hand, with what it has seen last; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[object, ...] = ()
        self._opened: tuple[Extractor, TapRecipe] | None = None
        self._seen: OrderedDict[tuple[object, ...], NDArray[np.float16]] = OrderedDict()
        self._bases: dict[tuple[object, ...], ColourBasis] = {}

    def close(self) -> None:
        """Let go of the network, and of all that it has seen."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._key, self._opened = (), None
        self._seen.clear()
        self._bases.clear()

    def maps(
        self,
        dataset: Dataset,
        fov_name: str,
        t: int,
        params: TapViewParams,
        job: Job | None = None,
        *,
        z: int | None = None,
        features: bool = True,
        attribution: bool = True,
        basis: ColourBasis | None = None,
    ) -> dict[str, Any]:
        """Do as :func:`frame_maps`, which says what it is about."""
        job = job or Job()
        fov = dataset[fov_name]
        channel = choose_channel(fov, params)
        with self._lock:
            extractor, recipe = self._open(params, job)
            stacks = recipe.handling(params.stacks)
            place = (fov.shape[1] // 2 if z is None else z) if stacks == "slices" else 0
            step = recipe.step(params.delta_t, fov.shape[0], fov.name) if attribution else 0
            stain = dataset.workspace.key("stain", fov)

            def represent(when: int) -> NDArray[np.float16]:
                key = (fov.path, stain, channel, stacks, when, place)
                return self._represent(key, fov, channel, when, place, stacks, job)

            first = represent(t)
            found: dict[str, Any] = {}
            if features:
                known = (dataset.workspace.path, channel, stacks)
                found["features"], self._bases[known] = pca_colours(
                    first, basis or self._bases.get(known)
                )
                found["basis"] = self._bases[known]
            if attribution and t + step < fov.shape[0]:
                from napari_dynaclr.embedding.tap.attribution import attribution_of

                second = represent(t + step)
                found["attribution"] = attribution_of(extractor.network, first, second, job)
            return found

    def _open(self, params: TapViewParams, job: Job) -> tuple[Extractor, TapRecipe]:
        """Open the network, if it is not the one that is open."""
        require_networks()
        path = find_weights(params, job).path
        key = (path, path.stat().st_mtime_ns, params.device, params.precision)
        if self._opened is None or key != self._key:
            from napari_dynaclr.embedding.tap.checkpoint import load_tap
            from napari_dynaclr.embedding.tap.dense import Extractor

            job.report("load the network")
            self._forget()
            loaded = load_tap(path)
            device = choose_device(Device(params.device))
            self._opened = Extractor(loaded, device, params.precision), loaded.recipe
            self._key = key
        return self._opened

    def _represent(
        self,
        key: tuple[object, ...],
        fov: Fov,
        channel: str,
        t: int,
        place: int,
        stacks: Stacks,
        job: Job,
    ) -> NDArray[np.float16]:
        """Represent the pixels of a frame, (features, Y, X), if they are not at hand."""
        if key not in self._seen and self._opened is not None:
            ((_, image),) = read(fov, channel, [t])
            plane = prepare(image, stacks)[place]
            # Half the memory, for something to look at.
            self._seen[key] = halved(self._opened[0].plane(plane, job))
        self._seen.move_to_end(key)
        found = self._seen[key]
        while len(self._seen) > 1 and sum(one.nbytes for one in self._seen.values()) > _BYTES:
            self._seen.popitem(last=False)
        return found


_VIEWER = Viewer()


def frame_maps(
    dataset: Dataset,
    fov_name: str,
    t: int,
    params: TapViewParams,
    job: Job | None = None,
    *,
    z: int | None = None,
    features: bool = True,
    attribution: bool = True,
    basis: ColourBasis | None = None,
) -> dict[str, Any]:
    """Show what a TAP network sees in a frame.

    Parameters
    ----------
    dataset
        The dataset.
    fov_name
        Which FOV.
    t
        Time point.
    params
        Which network, and how far apart the frames of a pair are.
    job
        For cancelling.
    z
        Slice, where slices are seen one by one; the middle one if None.
    features, attribution
        What is wanted.
    basis
        How features become colours, if not as in the frames of the dataset before: the first
        one that is looked at decides.

    Returns
    -------
    dict
        "features": red, green and blue from 0 to 1, (Y, X, 3) float32; "basis": how they were
        made, see :class:`~napari_dynaclr.embedding.tap.colours.ColourBasis`; "attribution": 0
        or more, (Y, X) float32, not there for the last frames, which have no later one.

    Raises
    ------
    InvalidInput
        If there are no such weights, FOV, time point or channel, or the movie is too short for
        an attribution.
    MissingExtra
        If torch is not installed.
    """
    return _VIEWER.maps(
        dataset,
        fov_name,
        t,
        params,
        job,
        z=z,
        features=features,
        attribution=attribution,
        basis=basis,
    )


def close() -> None:
    """Let go of the network that :func:`frame_maps` keeps open, and of its memory."""
    _VIEWER.close()
