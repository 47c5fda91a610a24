"""Embedding with TAP: the mean of its dense features in each cell."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from napari_dynaclr.core.background import in_background, read_ahead
from napari_dynaclr.core.device import Device, choose_device, device_memory, require_networks
from napari_dynaclr.embedding import Embedder, FrameEmbedding
from napari_dynaclr.embedding.networks import EmbedParams
from napari_dynaclr.embedding.tap.images import normalise, project, read
from napari_dynaclr.embedding.tap.regions import Regions
from napari_dynaclr.embedding.tap.source import TapSource, choose_channel, find_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.weights import Weights
    from napari_dynaclr.embedding import Frames
    from napari_dynaclr.embedding.tap.dense import Extractor
    from napari_dynaclr.embedding.tap.recipe import TapRecipe


class TapParams(TapSource, EmbedParams):
    """Settings of the embedding with TAP."""

    radius: float = Field(
        5.0,
        title="Radius where there is no mask (um)",
        description="Features are averaged over the mask of a cell; over this distance around its "
        "centre where it has none.",
        gt=0,
        le=1000,
    )


class _Frame(NamedTuple):
    """A time point as the network sees it.

    Attributes
    ----------
    planes
        Normalised, (planes, Y, X).
    gaps
        Pixels without a finite value, (planes, Y, X); None if there are none.
    """

    t: int
    rows: NDArray[np.intp]
    planes: NDArray[np.float32]
    gaps: NDArray[np.bool_] | None
    regions: Regions


class _Running:
    """The network of a run, loaded when the first FOV needs it."""

    def __init__(
        self, dataset: Dataset, params: TapParams, weights: Weights, device: Device, job: Job
    ) -> None:
        self._dataset, self._params, self._job = dataset, params, job
        self._weights, self._device = weights, device
        self._opened: tuple[Extractor, TapRecipe] | None = None

    def opened(self) -> tuple[Extractor, TapRecipe]:
        """Return the network on its device, and what its images have to be like."""
        if self._opened is None:
            self._job.report("load the network")
            self._opened = in_background(self._load, self._job)
        return self._opened

    def _load(self) -> tuple[Extractor, TapRecipe]:
        from napari_dynaclr.embedding.tap.checkpoint import load_tap
        from napari_dynaclr.embedding.tap.dense import Extractor

        loaded = load_tap(self._weights.path)
        unlike = loaded.recipe.unlike(self._dataset.fovs[0].scale)
        for line in (*loaded.told, *([unlike] if unlike else [])):
            self._job.note(line)
        return Extractor(loaded, self._device, self._params.precision), loaded.recipe

    def close(self) -> None:
        """Let go of the network."""
        if self._opened is not None:
            self._opened[0].close()
        self._opened = None

    def columns(self, _fov: Fov) -> pd.DataFrame:
        """Describe the embedding, a row per dimension."""
        count = self.opened()[0].features
        name = self._weights.path.stem
        texts = [f"TAP feature {i} of {name}, mean over the cell" for i in range(count)]
        return pd.DataFrame({"description": texts}, index=[f"e{i:03d}" for i in range(count)])

    def embed_fov(self, fov: Fov, tracks: pd.DataFrame, times: Sequence[int], job: Job) -> Frames:
        """Yield (t, embedding) of some time points; each frame is read and seen once."""
        if not times:
            return
        extractor, recipe = self.opened()
        with closing(read_ahead(self._frames(fov, tracks, times, recipe), job)) as frames:
            for frame in frames:
                regions = frame.regions
                total = np.zeros((extractor.features, regions.count))
                for plane in regions.planes():
                    for tile in extractor.tiles(frame.planes[plane], job):
                        regions.add(total, tile, plane)
                gaps = np.zeros(regions.count, bool)
                if frame.gaps is not None:
                    gaps = regions.touch(frame.gaps)
                yield (
                    frame.t,
                    FrameEmbedding(
                        frame.rows, regions.means(total), regions.at_border(), has_nan=gaps
                    ),
                )

    def _frames(
        self, fov: Fov, tracks: pd.DataFrame, times: Sequence[int], recipe: TapRecipe
    ) -> Iterator[_Frame]:
        params = self._params
        stacks = recipe.handling(params.stacks)
        groups = tracks.groupby("t").indices
        labels = self._dataset.workspace.labels("tracks", fov)
        masks = labels.frames(["labels"], times, allow_empty=True)
        skip = params.empty_frames == "skip"
        channel = choose_channel(fov, params)
        images = read(fov, channel, times, allow_empty=skip)
        for (t, mask), (_, image) in zip(masks, images, strict=True):
            rows = np.asarray(groups[t])
            planes: NDArray[Any] = project(image) if stacks == "max" else image
            bad = ~np.isfinite(planes)
            regions = Regions.of(mask[0], tracks.iloc[rows], stacks, params.radius, fov.scale)
            yield _Frame(t, rows, normalise(planes), bad if bad.any() else None, regions)


@contextmanager
def open_embedder(dataset: Dataset, params: TapParams, job: Job) -> Iterator[Embedder]:
    """Make ready for a run: find the weights, and load them when the first FOV needs them.

    Raises
    ------
    InvalidInput
        If the weights cannot be had or are not TAP's, or it is not clear which channel they see.
    MissingExtra
        If torch is not installed.
    """
    require_networks()
    weights = find_weights(params, job)
    channels = {choose_channel(fov, params) for fov in dataset.fovs}
    for line in weights.told:
        job.note(line)
    # torch takes seconds to import.
    device = in_background(lambda: choose_device(Device(params.device)), job)
    with device_memory(device):
        running = _Running(dataset, params, weights, device, job)
        about = {"weights": weights.path.name, "weights_sha256": weights.sha256}
        try:
            yield Embedder(
                running.embed_fov,
                running.columns,
                (weights.sha256,),
                about,
                tuple(sorted(channels)),
            )
        finally:
            running.close()
