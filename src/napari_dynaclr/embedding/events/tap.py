"""Likely events by the arrow of time: what tells a frame from a later one (tap.txt, 3.3)."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.background import in_background
from napari_dynaclr.core.device import Device, choose_device, device_memory, require_networks
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.embedding.events import maps_key
from napari_dynaclr.embedding.events.picking import PickingParams
from napari_dynaclr.embedding.tap.frames import TapViewParams
from napari_dynaclr.embedding.tap.images import prepare
from napari_dynaclr.embedding.tap.source import choose_channel, find_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.weights import Weights
    from napari_dynaclr.embedding.tap.checkpoint import LoadedTap
    from napari_dynaclr.embedding.tap.dense import Extractor
    from napari_dynaclr.embedding.tap.recipe import Stacks


class TapEventsParams(PickingParams, TapViewParams):
    """Settings of the search for likely events by the arrow of time."""


def map_params(params: TapEventsParams) -> TapViewParams:
    """Return the settings that the maps depend on."""
    return TapViewParams.of(params)


def key_of_maps(dataset: Dataset, fov: Fov, params: TapViewParams, job: Job) -> str:
    """Return the key that maps of a FOV have which are made with these settings."""
    weights = (find_weights(params, job).sha256,)
    method = resolve("find", TapEventsParams())[0]
    seen = TapViewParams.of(params)
    return maps_key(dataset, fov, method, seen, choose_channel(fov, params), weights)


@contextmanager
def open_finder(dataset: Dataset, params: TapEventsParams, job: Job) -> Iterator[TapFinder]:
    """Make ready for a run: find the weights, and load them when the first FOV needs them.

    Raises
    ------
    InvalidInput
        If there are no weights or no channel for them.
    MissingExtra
        If torch is not installed.
    """
    require_networks()
    for fov in dataset.fovs:
        choose_channel(fov, params)  # before anything is loaded
    weights = find_weights(params, job)
    for line in weights.told:
        job.note(line)
    device = in_background(lambda: choose_device(Device(params.device)), job)
    with device_memory(device):
        finder = TapFinder(dataset, params, weights, device, job)
        try:
            yield finder
        finally:
            finder.close()


class TapFinder:
    """A TAP network of a run, see :class:`~napari_dynaclr.embedding.events.Finder`.

    Parameters
    ----------
    dataset
        The movies.
    params
        Settings.
    weights
        The network's.
    device
        Where to compute.
    job
        Takes notes.
    """

    def __init__(
        self,
        dataset: Dataset,
        params: TapEventsParams,
        weights: Weights,
        device: Device,
        job: Job,
    ) -> None:
        self._dataset, self._params, self._job = dataset, params, job
        self._path, self._device = weights.path, device
        self._said: set[str] = set()
        self.weights = (weights.sha256,)

    @cached_property
    def _loaded(self) -> LoadedTap:
        def load() -> LoadedTap:  # torch takes seconds to import
            from napari_dynaclr.embedding.tap.checkpoint import load_tap

            return load_tap(self._path)

        self._job.report("load the network")
        loaded = in_background(load, self._job)
        unlike = loaded.recipe.unlike(self._dataset.fovs[0].scale)
        for line in (*loaded.told, *([unlike] if unlike else [])):
            self._job.note(line)
        return loaded

    @cached_property
    def _extractor(self) -> Extractor:
        from napari_dynaclr.embedding.tap.dense import Extractor

        return Extractor(self._loaded, self._device, self._params.precision)

    def channel(self, fov: Fov) -> str:
        """Return the channel that the network sees of a FOV."""
        return choose_channel(fov, self._params)

    def step(self, fov: Fov) -> int:
        """Return how many frames the later of a pair of frames is after the earlier."""
        recipe = self._loaded.recipe
        step = recipe.step(self._params.delta_t, fov.shape[0], fov.name)
        said = recipe.hurried(step, fov.frame_interval)
        if said and said not in self._said:  # of many FOVs, once
            self._said.add(said)
            self._job.note(said)
        return step

    @property
    def features(self) -> int:
        """Length of the representation of a pixel."""
        return self._loaded.network.config.features

    @property
    def projects(self) -> bool:
        """Whether a stack becomes one slice."""
        return self._stacks == "max"

    @property
    def _stacks(self) -> Stacks:
        return self._loaded.recipe.handling(self._params.stacks)

    def represent(self, frame: NDArray[Any], job: Job) -> Iterator[NDArray[np.float32]]:
        """Yield the representation of every pixel of a frame (Z, Y, X), slices as (F, Y, X)."""
        for plane in prepare(frame, self._stacks):
            yield self._extractor.plane(plane, job)

    def attribute(
        self, first: NDArray[np.floating], second: NDArray[np.floating], job: Job
    ) -> NDArray[np.float32]:
        """Map how much each place tells which of two frames was earlier, and which: (Y, X)."""
        from napari_dynaclr.embedding.tap.attribution import leads_of

        return leads_of(self._extractor.network, first, second, job)

    def close(self) -> None:
        """Let go of the network, so that its memory can be released."""
        if "_extractor" in self.__dict__:
            self._extractor.close()
        self.__dict__.pop("_extractor", None)
        self.__dict__.pop("_loaded", None)
