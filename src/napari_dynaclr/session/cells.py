"""Cells: the nodes that a viewer's views show, in columns, with the lookups that they need."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.shards import places, read_parts
from napari_dynaclr.core.tables import TRACK_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.workspace import Workspace

MAPS = ("phate", "umap", "pca")
"""Maps by preference: the first that a FOV has is shown unless another is chosen."""

READING = "reading cells…"
"""What is said of cells while it is not known whether there are some."""


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of every cell.

    Attributes
    ----------
    states
        The states of the task.
    probability
        (N, S); NaN where a FOV has not been predicted.
    """

    states: tuple[str, ...]
    probability: NDArray[np.float32]

    @cached_property
    def codes(self) -> NDArray[np.int16]:
        """Index of the predicted state, -1 where there is none, (N,)."""
        known = ~np.isnan(self.probability[:, 0])
        best = np.full(len(self.probability), -1, np.int16)
        best[known] = self.probability[known].argmax(axis=1)
        return best

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the predicted state, NaN where there is none, (N,)."""
        return np.asarray(self.probability.max(axis=1), np.float32)


@dataclass(frozen=True)
class Cells:
    """The nodes of some FOVs, a row each, ordered by FOV, track and time.

    A row number names a cell at a time point in all views of a viewer.

    Attributes
    ----------
    fovs
        Names of the FOVs, in the dataset's order.
    fov
        Index into ``fovs``, (N,).
    track, t, id, parent
        Track id, time point, node id and parent track id (-1: none), (N,).
    position
        Centroids (z, y, x) in pixels, (N, 3).
    embedding, maps
        The embedding the map is of, and its maps by name: (N, 2), NaN where a FOV has none.
    predictions
        By task.
    keys
        Key of the tracks of each FOV, as the workspace records it.
    mixed
        Maps whose parts were made in several runs, so that their axes do not agree.
    behind
        FOVs whose tracks, as they were read, lack corrections that were made since.
    reliability
        Of the link to the node before, 0 to 1, NaN where there is none or the tracker does
        not say, (N,); empty where nothing is known of any.
    """

    fovs: tuple[str, ...] = ()
    fov: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    track: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    t: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    id: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    parent: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    position: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    embedding: str = ""
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    predictions: dict[str, Prediction] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    mixed: frozenset[str] = frozenset()
    behind: frozenset[str] = frozenset()
    reliability: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.id)

    def index(self) -> Cells:
        """Build the lookups now (in a job), rather than at the first question (in a window)."""
        _ = self._starts, self._by_time, self._by_id, self._births
        for prediction in self.predictions.values():
            _ = prediction.codes, prediction.confidence
        return self

    @cached_property
    def _starts(self) -> NDArray[np.intp]:
        """First row of each FOV, and the end."""
        return np.searchsorted(self.fov, np.arange(len(self.fovs) + 1))

    @cached_property
    def _by_time(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        order = np.lexsort((self.t, self.fov))
        return order, self._moment(self.fov[order], self.t[order])

    @cached_property
    def _by_id(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        order = np.lexsort((self.id, self.fov))
        return order, self.id[order]

    @cached_property
    def _births(self) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
        """Where each FOV begins among the tracks with a parent; their parents, and they."""
        new = (np.diff(self.track, prepend=-1) != 0) | (np.diff(self.fov, prepend=-1) != 0)
        born = np.flatnonzero(new & (self.parent >= 0))
        born = born[np.lexsort((self.track[born], self.parent[born], self.fov[born]))]
        starts = np.searchsorted(self.fov[born], np.arange(len(self.fovs) + 1))
        return starts, self.parent[born], self.track[born]

    @staticmethod
    def _moment(fov: Any, t: Any) -> Any:
        """One ascending number for FOV and time point."""
        return np.asarray(fov, np.int64) * (1 << 32) + t

    def rows_of(self, fov_name: str) -> slice:
        """Rows of a FOV; empty if it is not among these."""
        if fov_name not in self.fovs:
            return slice(0, 0)
        i = self.fovs.index(fov_name)
        return slice(int(self._starts[i]), int(self._starts[i + 1]))

    def at(self, fov_name: str, t: int) -> NDArray[np.intp]:
        """Rows of a FOV at a time point."""
        if fov_name not in self.fovs:
            return np.zeros(0, np.intp)
        order, moments = self._by_time
        moment = self._moment(self.fovs.index(fov_name), t)
        first, last = np.searchsorted(moments, [moment, moment + 1])
        return order[first:last]

    def of_track(self, fov_name: str, track: int) -> NDArray[np.intp]:
        """Rows of a track in the order of time."""
        rows = self.rows_of(fov_name)
        first, last = np.searchsorted(self.track[rows], [track, track + 1])
        return np.arange(rows.start + first, rows.start + last)

    def find(self, fov_name: str, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[np.intp]:
        """Rows of nodes by id, -1 where there is none."""
        wanted = np.asarray(ids, np.int64)
        rows = self.rows_of(fov_name)
        if rows.stop == rows.start:
            return np.full(len(wanted), -1, np.intp)
        order, found = self._by_id
        part = found[rows]
        place = np.minimum(np.searchsorted(part, wanted), len(part) - 1)
        return np.where(part[place] == wanted, order[rows][place], -1)

    def daughters(self, fov_name: str, track: int) -> list[int]:
        """Tracks that a track divided into."""
        if fov_name not in self.fovs:
            return []
        starts, parents, tracks = self._births
        i = self.fovs.index(fov_name)
        here = slice(starts[i], starts[i + 1])
        first, last = np.searchsorted(parents[here], [track, track + 1])
        return [int(one) for one in tracks[here][first:last]]

    def lineage(self, fov_name: str, track: int) -> list[int]:
        """Return the founding track of a lineage and all that came of it, ancestors first."""
        # Cells from elsewhere may go round in a circle, or name a parent that is not there.
        root, seen = track, {track}
        while (above := self.parent_of(fov_name, root)) >= 0 and above not in seen:
            if not len(self.of_track(fov_name, above)):
                break
            root = above
            seen.add(root)
        found = [root]
        known = {root}
        for one in found:
            new = [d for d in self.daughters(fov_name, one) if d not in known]
            known.update(new)
            found += new
        return found

    def parent_of(self, fov_name: str, track: int) -> int:
        """Track that a track was born from, -1 if none is known."""
        rows = self.of_track(fov_name, track)
        return int(self.parent[rows[0]]) if len(rows) else -1

    def name(self, row: int) -> str:
        """Name of the FOV of a row."""
        return self.fovs[int(self.fov[row])]

    def nodes(self, rows: slice | NDArray[np.intp]) -> pd.DataFrame:
        """Rows as a table of nodes: ``fov_name`` and the track columns (``parent_id`` is -1)."""
        import pandas as pd

        z, y, x = self.position[rows].T
        names = np.array(self.fovs or ("",), object)
        return pd.DataFrame(
            {
                "fov_name": names[self.fov[rows]],
                "track_id": self.track[rows],
                "t": self.t[rows],
                "id": self.id[rows],
                "parent_track_id": self.parent[rows],
                "parent_id": np.int64(-1),
                "z": z,
                "y": y,
                "x": x,
            }
        )[["fov_name", *TRACK_COLUMNS]]


def embeddings(dataset: Dataset) -> list[str]:
    """Names of the embeddings that a dataset has; touches the disk."""
    folder = dataset.workspace.path / "embeddings"
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def load_cells(dataset: Dataset, embedding: str, job: Job) -> Cells:
    """Read the tracked cells of a dataset's FOVs, their maps and predictions.

    FOVs that have not been tracked are left out. What was made from older tracks is
    left out too: it speaks of other cells.

    Parameters
    ----------
    dataset
        The FOVs to show.
    embedding
        Name of the embedding whose maps and predictions are wanted.
    job
        Progress and cancelling.
    """
    workspace = dataset.workspace
    tracked = [
        fov
        for fov in dataset.fovs
        if workspace.key("tracks", fov) is not None and not workspace.outdated("tracks", fov)
    ]
    if not tracked:
        return Cells()
    parts = [
        (fov, tracks, _embedded(dataset, fov, embedding, tracks["id"].to_numpy(np.int64)))
        for fov in job.track(tracked, "read tracks and maps")
        for tracks in [workspace.tracks(fov, behind=True)]
    ]
    tables = [tracks for _, tracks, _ in parts]
    counts = [len(tracks) for tracks in tables]

    def column(name: str, dtype: type) -> NDArray[Any]:
        return np.concatenate([table[name].to_numpy(dtype) for table in tables])

    names = sorted({name for _, _, found in parts for name in found.get("maps", {})}, key=_rank)
    tasks = sorted({task for _, _, found in parts for task in found.get("predictions", {})})
    return Cells(
        fovs=tuple(fov.name for fov, _, _ in parts),
        fov=np.repeat(np.arange(len(parts), dtype=np.int32), counts),
        track=column("track_id", np.int64),
        t=column("t", np.int64),
        id=column("id", np.int64),
        parent=column("parent_track_id", np.int64),
        position=np.stack([column(axis, np.float32) for axis in "zyx"], axis=1),
        embedding=embedding,
        maps={
            name: _joined([found.get("maps", {}).get(name) for *_, found in parts], counts, 2)
            for name in names
        },
        predictions={
            task: _joined_prediction(
                [found.get("predictions", {}).get(task) for *_, found in parts], counts
            )
            for task in tasks
        },
        reliability=_joined_reliability(tables),
        mixed=frozenset(
            name
            for name in names
            if len(_runs(workspace, embedding, name, [fov for fov, _, p in parts if p])) > 1
        ),
        keys={fov.name: workspace.key("tracks", fov) or "" for fov in tracked},
        behind=frozenset(fov.name for fov in tracked if workspace.behind(fov)),
    ).index()


def _runs(workspace: Workspace, embedding: str, name: str, fovs: list[Fov]) -> set[str | None]:
    """Return the runs that made a map of these FOVs."""
    return {workspace.key(f"projection.{embedding}.{name}", fov) for fov in fovs} - {None}


def _rank(name: str) -> tuple[int, str]:
    return (MAPS.index(name) if name in MAPS else len(MAPS), name)


def _embedded(dataset: Dataset, fov: Fov, embedding: str, ids: NDArray[np.int64]) -> dict[str, Any]:
    """Read maps and predictions of a FOV's nodes; nothing where it is not embedded or outdated."""
    workspace, result = dataset.workspace, f"embeddings.{embedding}"
    if not embedding or workspace.key(result, fov) is None or workspace.outdated(result, fov):
        return {}
    found = read_parts(workspace.shard(embedding, fov))
    rows = places(found["ids"], ids)
    return {
        "maps": {name: taken(values, rows) for name, values in found["maps"].items()},
        "predictions": {
            task: (states, taken(values, rows))
            for task, (states, values) in found["predictions"].items()
        },
    }


def taken(values: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return some rows of a table of numbers, NaN where the row is -1: a node that it lacks."""
    found = np.full((len(rows), *values.shape[1:]), np.nan, np.float32)
    known = rows >= 0
    found[known] = values[rows[known]]
    return found


def _joined_reliability(tables: list[pd.DataFrame]) -> NDArray[np.float32]:
    """Join what trackers say of their links; empty where none does."""
    if not any("reliability" in table for table in tables):
        return np.zeros(0, np.float32)
    blank = np.float32(np.nan)
    return np.concatenate(
        [
            table["reliability"].to_numpy(np.float32)
            if "reliability" in table
            else np.full(len(table), blank)
            for table in tables
        ]
    )


def _joined(
    parts: list[NDArray[np.float32] | None], counts: list[int], width: int
) -> NDArray[np.float32]:
    joined = np.full((sum(counts), width), np.nan, np.float32)
    start = 0
    for part, count in zip(parts, counts, strict=True):
        if part is not None and len(part) == count:
            joined[start : start + count, : part.shape[1]] = part[:, :width]
        start += count
    return joined


def _joined_prediction(
    parts: list[tuple[tuple[str, ...], NDArray[np.float32]] | None], counts: list[int]
) -> Prediction:
    states = tuple(dict.fromkeys(state for part in parts if part for state in part[0]))
    # FOVs predicted by an older classifier may know fewer states, in another order.
    aligned = [
        None
        if part is None
        else np.stack(
            [
                part[1][:, part[0].index(state)]
                if state in part[0]
                else np.zeros(len(part[1]), np.float32)
                for state in states
            ],
            axis=1,
        )
        for part in parts
    ]
    return Prediction(states, _joined(aligned, counts, len(states)))
