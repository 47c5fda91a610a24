"""CELLECT over the frames of a FOV: look, link, and number the tracks.

Methods, "Training and inference". A frame is read once, and looked at once, together with the
next; where there is no next one, or it is empty, together with itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from napari_dynaclr.core.background import read_ahead
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.fov import nothing_but
from napari_dynaclr.tracking.cellect.coarse import coarse_masks, enlarged
from napari_dynaclr.tracking.cellect.detector import Detector
from napari_dynaclr.tracking.cellect.grid import Grid
from napari_dynaclr.tracking.cellect.images import normalise, resize
from napari_dynaclr.tracking.cellect.lineages import joined, number_tracks
from napari_dynaclr.tracking.cellect.linking import LinkSettings, link_cells
from napari_dynaclr.tracking.cellect.reconnect import reconnected
from napari_dynaclr.tracking.cellect.store import Found, Store
from napari_dynaclr.tracking.movie import Linked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.device import Device
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.tracking.cellect.candidates import Cells
    from napari_dynaclr.tracking.cellect.checkpoint import LoadedCellect
    from napari_dynaclr.tracking.cellect.lineages import Tracks
    from napari_dynaclr.tracking.cellect.method import CellectParams
    from napari_dynaclr.tracking.movie import Movie

_FEW = 4
"""Cells at the end of a fragment whose mean embedding is compared."""


class _Pair(NamedTuple):
    """A frame and what it is looked at with; None where the frame is empty."""

    t: int
    first: NDArray[np.float32] | None
    second: NDArray[np.float32] | None


class Engine:
    """CELLECT with its weights, for the FOVs of a run.

    Parameters
    ----------
    loaded
        The model.
    params
        Settings.
    device
        Where to compute.
    """

    def __init__(self, loaded: LoadedCellect, params: CellectParams, device: Device) -> None:
        self._model, self._recipe, self._params = loaded.model, loaded.recipe, params
        self._detector = Detector(loaded.model, device, params.precision, params.block)
        self.told = list(loaded.told)
        """What the user should know, a sentence each."""
        known = loaded.recipe.voxel_size is not None and loaded.recipe.diameter_um is not None
        if params.diameter is not None and not known:
            self.told.append(
                "The cell diameter changes nothing: the weights do not say how large the cells "
                "were that they were trained on."
            )

    def close(self) -> None:
        """Let go of the model."""
        self._detector.close()

    def link(self, movie: Movie, channel: str, job: Job) -> Linked:
        """Link the cells of a FOV.

        Parameters
        ----------
        movie
            The FOV, with segmented cells if these are to be linked.
        channel
            What the network sees.
        job
            Progress and cancelling.

        Raises
        ------
        InvalidInput
            If there is one time point only, or the channel cannot be read.
        """
        fov = movie.fov
        if fov.shape[0] < 2:
            raise InvalidInput(
                f"FOV {fov.name} has one time point: CELLECT compares each with the next. Choose "
                "another method, or leave this FOV out."
            )
        grid = Grid.of(fov, self._recipe, self._params.diameter)
        store = Store(movie.scratch)
        self._find(movie, channel, grid, store, job)
        times = range(fov.shape[0])
        counts = np.zeros(len(times), np.int64)
        tables: list[pd.DataFrame] = []

        def frames() -> Iterator[tuple[int, Cells]]:
            for t in job.track(times, f"link {fov.name}"):
                found = store.read(t)
                counts[t] = len(found.label)
                tables.append(_table(t, found))
                yield t, found.cells

        settings = self._settings(grid)
        links = list(link_cells(frames(), self._model.inter, settings))
        nodes = pd.concat(tables, ignore_index=True)
        tracks = number_tracks(counts, links)
        if self._params.reconnect:
            tracks = self._reconnect(nodes, tracks, grid, store)
        linked = nodes.assign(
            track_id=tracks.track_id,
            parent_track_id=tracks.parent_track_id,
            reliability=tracks.reliability,
        )
        return Linked(linked, store.masks if self._params.cells == "own" else None)

    def _settings(self, grid: Grid) -> LinkSettings:
        params = self._params
        furthest = params.max_distance
        return LinkSettings(
            candidates=self._model.config.candidates,
            least_score=params.min_score,
            least_division=params.min_division if params.divisions else np.inf,
            longest_gap=params.max_gap,
            furthest=None if furthest is None else furthest / grid.spacing[1],
        )

    def _find(self, movie: Movie, channel: str, grid: Grid, store: Store, job: Job) -> None:
        """Look at all frames that have not been looked at."""
        fov = movie.fov
        missing = [t for t in range(fov.shape[0]) if not store.has(t)]
        own = self._params.cells == "own"
        given = None if own else dict(iter(movie.nodes.groupby("t")))
        pairs = read_ahead(self._pairs(fov, channel, grid, missing), job, depth=1)
        work = job.track(
            pairs,
            f"look at {fov.name}",
            total=fov.shape[0],
            done=fov.shape[0] - len(missing),
        )
        for pair in work:
            if given is None:
                self._find_own(pair, fov.shape[1], grid, store, job)
            else:
                self._find_given(pair, given.get(pair.t), fov.shape[1], grid, store, job)

    def _pairs(self, fov: Fov, channel: str, grid: Grid, missing: Sequence[int]) -> Iterator[_Pair]:
        """Read frames, each once, and put each together with the next."""
        last = fov.shape[0] - 1
        wanted = sorted({min(t + more, last) for t in missing for more in (0, 1)})
        before: tuple[int, NDArray[np.float32] | None] | None = None
        todo = set(missing)
        for t, frame in fov.frames([channel], wanted, allow_empty=True):
            image = None
            if not nothing_but(frame[0]):
                image = resize(normalise(frame[0], self._recipe.normalization), grid.seen)
            if before is not None and before[0] in todo:
                second = image if t == before[0] + 1 and image is not None else before[1]
                yield _Pair(before[0], before[1], second)
            before = (t, image)
        if before is not None and before[0] in todo:
            yield _Pair(before[0], before[1], before[1])

    def _find_own(self, pair: _Pair, depth: int, grid: Grid, store: Store, job: Job) -> None:
        if pair.first is None or pair.second is None:
            none = np.zeros((0, 3))
            empty = np.zeros((depth, *grid.size), np.uint32)
            zero = np.zeros(0, np.int64)
            store.write(pair.t, Found(none, zero, zero, self._detector.no_cells()), empty)
            return
        spacing = self._recipe.spacing(grid.spacing)
        seen = self._detector.look(pair.first, pair.second, spacing, job)
        place = grid.to_pixels(seen.voxels)
        pixels = np.asarray(grid.spacing) / grid.spacing[1]
        masks = coarse_masks(
            seen.inside if seen.inside is not None else np.zeros(pair.first.shape, bool),
            seen.voxels,
            seen.cells.size.numpy(),
            (pixels[0], pixels[1], pixels[2]),
        )
        centre = np.clip(np.round(place).astype(np.int64), 0, np.array([depth, *grid.size]) - 1)
        masks = enlarged(masks, grid.size, centre)
        area = np.bincount(masks.ravel(), minlength=len(place) + 1)[1:]
        label = np.arange(1, len(place) + 1)
        store.write(pair.t, Found(place, label, area, seen.cells), masks)

    def _find_given(
        self,
        pair: _Pair,
        nodes: pd.DataFrame | None,
        depth: int,
        grid: Grid,
        store: Store,
        job: Job,
    ) -> None:
        zero = np.zeros(0, np.int64)
        if nodes is None:
            store.write(pair.t, Found(np.zeros((0, 3)), zero, zero, self._detector.no_cells()))
            return
        place = nodes[["z", "y", "x"]].to_numpy(float)
        first = pair.first
        if first is None:  # segmented before its pixels were lost
            first = np.zeros((depth, *grid.seen), np.float32)
        second = first if pair.second is None else pair.second
        spacing = self._recipe.spacing(grid.spacing)
        seen = self._detector.look(first, second, spacing, job, grid.to_seen(place, depth))
        label, area = nodes["label"].to_numpy(), nodes["area"].to_numpy()
        store.write(pair.t, Found(place, label, area, seen.cells))

    def _reconnect(self, nodes: pd.DataFrame, tracks: Tracks, grid: Grid, store: Store) -> Tracks:
        """Join fragments, reading what cells look like at their ends only."""
        time = nodes["t"].to_numpy()
        track = tracks.track_id
        order = np.lexsort((time, track))
        edge = np.flatnonzero(np.diff(track[order])) + 1
        parts = np.split(order, edge)
        mothers = set(tracks.parent_track_id.tolist())
        ends = [part for part in parts if track[part[0]] not in mothers]
        starts = [part for part in parts if tracks.before[part[0]] < 0]
        wanted = {int(n) for part in ends for n in part[-_FEW:]}
        wanted |= {int(n) for part in starts for n in part[:_FEW]}
        features = _features(wanted, time, store)
        scale = np.asarray(grid.spacing) / grid.spacing[1]
        ratio = np.array([1.0, *(s / o for s, o in zip(grid.seen, grid.size, strict=True))])
        place = nodes[["z", "y", "x"]].to_numpy(float) * ratio * scale
        spots = np.column_stack([time, place])
        furthest = self._params.max_distance
        if furthest is None:
            size = np.median(np.concatenate([store.read(t).cells.size for t in np.unique(time)]))
            reach = 2 * float(size)
        else:
            reach = furthest / grid.spacing[1]
        one, other, similarity = reconnected(
            spots[[part[-1] for part in ends]],
            np.array([np.mean([features[int(n)] for n in part[-_FEW:]], axis=0) for part in ends]),
            spots[[part[0] for part in starts]],
            np.array([np.mean([features[int(n)] for n in part[:_FEW]], axis=0) for part in starts]),
            window=self._params.reconnect,
            furthest=reach,
        )
        last = np.array([part[-1] for part in ends], np.int64)
        first = np.array([part[0] for part in starts], np.int64)
        return joined(tracks, last[one], first[other], similarity)


def _features(
    wanted: set[int], time: NDArray[np.integer], store: Store
) -> dict[int, NDArray[np.float32]]:
    """Read the embeddings of some nodes, in one pass."""
    result: dict[int, NDArray[np.float32]] = {}
    nodes = np.array(sorted(wanted), np.int64)
    for t in np.unique(time[nodes]):
        first = int(np.searchsorted(time, t))
        embedding = store.read(int(t)).cells.embedding.numpy()
        for node in nodes[time[nodes] == t]:
            result[int(node)] = embedding[node - first]
    return result


def _table(t: int, found: Found) -> pd.DataFrame:
    z, y, x = found.place.T
    return pd.DataFrame({"t": t, "label": found.label, "z": z, "y": y, "x": x, "area": found.area})
