"""Linking with Trackastra: a transformer that has learned which cell goes on as which.

Source: Gallusser and Weigert, ECCV 2024, and its package, whose networks and features are
used as they are; the frames are read one by one here, and links chosen by our own code.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from napari_dynaclr.core.channels import named_after
from napari_dynaclr.core.device import Device, choose_device, device_memory
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.weight_files import sha256
from napari_dynaclr.tracking.movie import Linked, Movie
from napari_dynaclr.tracking.tracklets import tracklets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.tracking.trackastra_model import TrackastraModel

_PRESENT = 0.5
"""Score from which greedy linking takes a link, as Trackastra has it."""

_NEIGHBORS = 10
"""Candidates that a cell has at most, the nearest ones, as Trackastra has it."""


class TrackastraParams(Params):
    """Settings of linking with Trackastra."""

    model: Literal["auto", "general_2d", "ctc"] = Field(
        "auto",
        title="Model",
        description="Published model, downloaded on first use; auto takes general_2d for single "
        "slices and ctc for stacks.",
    )
    folder: str = Field(
        "",
        title="Model folder",
        description="Folder of a model that you have already (model.pt, config.yaml, "
        "train_config.yaml); taken in place of a published one.",
        json_schema_extra={"path": "folder"},
    )
    channel: str = Field(
        "",
        title="Image channel",
        description="Channel that shows the segmented cells; if empty, the one named after nuclei, "
        "or the only one.",
        json_schema_extra={"choices": "channels"},
    )
    mode: Literal["greedy", "greedy_nodiv", "ilp"] = Field(
        "greedy",
        title="Choice of links",
        description="greedy takes the best links first; greedy_nodiv does so without divisions; "
        "ilp finds the best of all together, which takes longer.",
    )
    max_distance: float = Field(
        0.0,
        title="Largest step (um)",
        description="A cell moves no further than this between two frames; 0 leaves it to the "
        "model.",
        ge=0,
        le=1000,
    )
    empty_frames: Literal["error", "skip"] = Field(
        "error",
        title="Empty frames",
        description="Stop at a frame of nothing but zeros or NaN, or go on with what the "
        "segmentation has there.",
        json_schema_extra={"advanced": True},
    )
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto",
        title="Device",
        description="Where to compute; auto takes the fastest there is.",
        json_schema_extra={"advanced": True, "speed_only": True},
    )


def channels_read(fov: Fov, params: TrackastraParams) -> list[str]:
    """Return the channel that is read.

    Raises
    ------
    InvalidInput
        If none is given and none can be guessed.
    """
    only = fov.channels[0] if len(fov.channels) == 1 else None
    channel = params.channel or named_after("nuclei", fov.channels) or only
    if channel is None:
        raise InvalidInput(
            f"No channel is named after nuclei: choose one of {', '.join(fov.channels)} with "
            "channel=."
        )
    return [channel]


@dataclass(frozen=True)
class _Linker:
    """A loaded model, for all FOVs."""

    weights: str
    model: TrackastraModel
    params: TrackastraParams

    def link(self, movie: Movie, job: Job) -> Linked:
        """Link the segmented cells of one FOV.

        One frame is in memory at a time; of a window of frames, the network needs memory in
        proportion to the square of its cells.
        """
        links, scores = self._candidates(movie, job)
        links, scores = self._within_reach(movie, links, scores)
        job.report(f"choose links {movie.fov.name}")
        times = movie.nodes["t"].to_numpy()
        if self.params.mode == "ilp":
            from napari_dynaclr.tracking.trackastra_model import solve

            chosen = solve(times, links, scores)
        else:
            chosen = greedy(links, scores, 1 if self.params.mode == "greedy_nodiv" else 2)
        track, parent = tracklets(times, links[chosen], "Trackastra")
        sure = np.ones(len(times))
        sure[links[chosen][:, 1]] = np.clip(scores[chosen], 0, 1)
        return Linked(movie.nodes.assign(track_id=track, parent_track_id=parent, reliability=sure))

    def _candidates(self, movie: Movie, job: Job) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return links that the model thinks possible, as rows of nodes, and their scores."""
        fov = movie.fov
        self.model.check_depth(fov.shape[1], fov.name)
        channels = channels_read(fov, self.params)
        images = fov.frames(channels, allow_empty=self.params.empty_frames == "skip")
        rows = dict(iter(movie.nodes.groupby("t")))
        features = []
        pairs = zip(movie.labels(), images, strict=True)
        for (t, labels), (_, image) in job.track(pairs, f"cells {fov.name}", total=fov.shape[0]):
            known = rows.get(t)
            numbers = np.zeros(0, np.int64) if known is None else known["label"].to_numpy()
            first = 0 if known is None else int(known.index[0])
            features.append(self.model.features(t, labels, image[0], numbers, first))
        size = min(self.model.window, len(features))
        found = [
            self.model.scores(features[start : start + size])
            for start in job.track(range(len(features) - size + 1), f"score {fov.name}")
            if size > 1
        ]
        return _averaged(found)

    def _within_reach(
        self, movie: Movie, links: NDArray[np.int64], scores: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Keep of each cell the nearest candidates, no further than a cell moves."""
        place = movie.nodes[["z", "y", "x"]].to_numpy(float) * np.asarray(movie.fov.scale)
        step = np.linalg.norm(place[links[:, 0]] - place[links[:, 1]], axis=1)
        order = np.lexsort((step, links[:, 0]))
        _, first, count = np.unique(links[order, 0], return_index=True, return_counts=True)
        rank = np.empty(len(links), np.int64)
        rank[order] = np.arange(len(links)) - np.repeat(first, count)
        near = rank < _NEIGHBORS
        if self.params.max_distance:
            near &= step <= self.params.max_distance
        # Of two links with the same score, the shorter one then comes first.
        kept = order[near[order]]
        return links[kept], scores[kept]


@contextmanager
def opened(dataset: Dataset, params: TrackastraParams, job: Job) -> Iterator[_Linker]:
    """Load the model, fetching it first if need be, for a run over all FOVs.

    Raises
    ------
    MissingExtra
        If Trackastra is not installed.
    InvalidInput
        If the model cannot be had, or is another one.
    """
    from napari_dynaclr.tracking.trackastra_model import TrackastraModel, model_folder

    name: str = params.model
    if name == "auto":
        name = "general_2d" if dataset.fovs[0].shape[1] == 1 else "ctc"
    device = choose_device(Device(params.device))
    folder = model_folder(name, params.folder, job)
    with device_memory(device):
        model = TrackastraModel(folder, device.value)
        yield _Linker(sha256(folder / "model.pt", job), model, params)


def _averaged(
    found: list[tuple[NDArray[np.int64], NDArray[np.float64]]],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Take the mean of what several windows say of the same link."""
    if not found:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    links = np.concatenate([pairs for pairs, _ in found])
    scores = np.concatenate([values for _, values in found])
    unique, index = np.unique(links, axis=0, return_inverse=True)
    index = index.ravel()
    total = np.bincount(index, weights=scores, minlength=len(unique))
    return unique, total / np.maximum(np.bincount(index, minlength=len(unique)), 1)


def greedy(
    links: NDArray[np.int64], scores: NDArray[np.float64], daughters: int
) -> NDArray[np.int64]:
    """Choose links, the best first, so that cells do not merge.

    Parameters
    ----------
    links
        Rows of nodes (before, after), (L, 2).
    scores
        0 to 1, (L,); links below 0.5 are never taken.
    daughters
        Nodes that may follow one node: 2, or 1 without divisions.

    Returns
    -------
    numpy.ndarray
        Rows of ``links`` that were chosen.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= _PRESENT]
    count = int(links.max()) + 1 if len(links) else 0
    taken, children = np.zeros(count, bool), np.zeros(count, np.int64)
    chosen = []
    for row in order:
        before, after = links[row]
        if not taken[after] and children[before] < daughters:
            taken[after] = True
            children[before] += 1
            chosen.append(row)
    return np.array(chosen, np.int64)
