"""The review queue: which cells to look at next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd

from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.shards import nodes
from napari_dynaclr.core.taskbook import read_tasks
from napari_dynaclr.core.tasks import UNKNOWN, Task, find_task

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_dynaclr.core.dataset import Dataset

By = Literal["uncertain", "cluster", "disagreement"]
"""What cells are chosen by."""

MAPS = ("X_phate", "X_umap", "X_pca")
"""Maps that clusters are looked for in, the first that there is."""

REVIEW_COLUMNS = [
    "fov_name", "track_id", "t", "id", "z", "y", "x", "predicted", "reason", "score",
]  # fmt: skip
"""Columns of :func:`review`."""

_SAMPLE = 50_000
"""Cells that clusters are made from: more of them move the centres by less than a cell."""


class Queue(NamedTuple):
    """Cells to look at, the first one first.

    Attributes
    ----------
    rows
        Their numbers, (K,).
    scores
        Why they come in this order, (K,): see the function that made the queue.
    """

    rows: NDArray[np.intp]
    scores: NDArray[np.float64]


def most_uncertain(
    probability: NDArray[np.floating],
    annotated: NDArray[np.bool_],
    tracks: ArrayLike,
    count: int,
) -> Queue:
    """Choose the cells a classifier is least sure of.

    Those first whose two likeliest states are closest (margin sampling: Scheffer,
    Decomain and Wrobel 2001); of equals, those with the higher entropy.

    Parameters
    ----------
    probability
        Of each state, (N, S); rows with a NaN are left out.
    annotated
        Cells that have a state already and are not asked about again, (N,).
    tracks
        Which track each cell is of, (N,): neighbours in time look alike, so one cell of
        each is enough.
    count
        How many at most.

    Returns
    -------
    Queue
        Scores are 1 minus the margin: 1 where two states are equally likely.
    """
    open_rows = np.flatnonzero(~annotated & np.isfinite(probability).all(axis=1))
    if count <= 0 or not len(open_rows) or probability.shape[1] < 2:
        return _none()
    p = np.asarray(probability[open_rows], float)
    top = np.partition(p, -2, axis=1)
    score = 1.0 - (top[:, -1] - top[:, -2])
    entropy = -(p * np.log(np.clip(p, 1e-12, None))).sum(axis=1)
    order = np.lexsort((-entropy.round(9), -score.round(9)))  # stable: then by row
    order = order[_first_of_each(np.asarray(tracks)[open_rows[order]])][:count]
    return Queue(open_rows[order], score[order])


def unlabelled_clusters(
    coordinates: NDArray[np.floating],
    annotated: NDArray[np.bool_],
    count: int,
    clusters: int | None = None,
    seed: int = 0,
) -> Queue:
    """Choose a typical cell from each of the groups that few annotations are in.

    Groups are made by mini-batch k-means (Sculley 2010), of at most 50,000 cells.

    Parameters
    ----------
    coordinates
        Of a map or an embedding, (N, D); rows with a NaN are left out.
    annotated
        Cells that have a state already, (N,).
    count
        How many cells at most, one per group.
    clusters
        Number of groups; twice ``count``, and 10 at least, by default.
    seed
        Makes the choice repeatable.

    Returns
    -------
    Queue
        Groups with the smallest annotated fraction first, of equals the largest;
        from each the open cell nearest the centre. Scores are the group's share of
        all cells.
    """
    from sklearn.cluster import MiniBatchKMeans

    known = np.flatnonzero(np.isfinite(coordinates).all(axis=1))
    if count <= 0 or not len(known) or annotated[known].all():
        return _none()
    generator = np.random.default_rng(seed)
    rows = known if len(known) <= _SAMPLE else generator.choice(known, _SAMPLE, replace=False)
    rows = np.sort(rows)
    place = np.asarray(coordinates[rows], np.float32)
    distinct = len(np.unique(place, axis=0))
    groups = min(clusters or max(2 * count, 10), distinct)
    model = MiniBatchKMeans(groups, batch_size=4096, n_init=3, random_state=seed).fit(place)
    distance = np.linalg.norm(place - model.cluster_centers_[model.labels_], axis=1)
    size = np.bincount(model.labels_, minlength=groups) * (len(known) / len(rows))
    # The few annotated cells are hardly ever in the sample: they are counted by themselves.
    marked = known[annotated[known]]
    counted = marked if len(marked) <= _SAMPLE else generator.choice(marked, _SAMPLE, replace=False)
    labelled: NDArray[np.floating] = np.zeros(groups)
    if len(counted):
        labels = model.predict(np.asarray(coordinates[counted], np.float32))
        labelled = np.bincount(labels, minlength=groups) * (len(marked) / len(counted))
    fraction = np.clip(labelled / np.maximum(size, 1), 0, 1)
    open_ones = np.flatnonzero(~annotated[rows])
    by_distance = open_ones[np.lexsort((distance[open_ones], model.labels_[open_ones]))]
    first = by_distance[_first_of_each(model.labels_[by_distance])]
    group = model.labels_[first]
    order = np.lexsort((group, -size[group], fraction[group]))[:count]
    return Queue(rows[first[order]], size[group[order]] / len(known))


def disagreements(
    predicted: NDArray[np.str_],
    annotated_states: NDArray[np.str_],
    confidence: NDArray[np.floating],
    count: int,
    tracks: ArrayLike | None = None,
) -> Queue:
    """Choose annotated cells that are predicted to be something else.

    Parameters
    ----------
    predicted
        Predicted states, (N,).
    annotated_states
        States that people gave, (N,); empty or "unknown" for none.
    confidence
        Probability of the predicted state, (N,).
    count
        How many at most.
    tracks
        Which track each cell is of, (N,): one cell of each is enough. All if omitted.

    Returns
    -------
    Queue
        The most confident first. Scores are the confidence.
    """
    told = (annotated_states != "") & (annotated_states != UNKNOWN) & (predicted != "")
    rows = np.flatnonzero(told & (predicted != annotated_states))
    rows = rows[np.argsort(-confidence[rows], kind="stable")]
    if tracks is not None:
        rows = rows[_first_of_each(np.asarray(tracks)[rows])]
    rows = rows[: max(count, 0)]
    return Queue(rows, np.asarray(confidence[rows], float))


def review(
    dataset: Dataset,
    task: str,
    by: By = "uncertain",
    count: int = 20,
    embedding: str = "features",
    job: Job | None = None,
) -> pd.DataFrame:
    """List the cells of a dataset to annotate or to check next.

    Parameters
    ----------
    dataset
        A dataset that has been embedded; for "uncertain" and "disagreement" also
        classified, for "cluster" mapped.
    task
        What the annotations are about.
    by
        "uncertain": :func:`most_uncertain`; "cluster": :func:`unlabelled_clusters`;
        "disagreement": :func:`disagreements`, one per track.
    count
        How many cells at most.
    embedding
        Whose predictions and maps.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        :data:`REVIEW_COLUMNS`, the first cell first: ``reason`` says why in words.

    Raises
    ------
    MissingInput
        If there is no embedding, no prediction of the task, or no map.
    InvalidInput
        If ``by`` or ``count`` cannot be used, or no map covers all FOVs.
    """
    if by not in ("uncertain", "cluster", "disagreement"):
        raise InvalidInput(f"by = '{by}': choose uncertain, cluster or disagreement.")
    if count < 1:
        raise InvalidInput(f"count = {count}: ask for one cell at least.")
    job = job or Job()
    found = find_task(task, read_tasks(dataset.workspace))
    given = _states(dataset, found)
    tables: list[pd.DataFrame] = []
    values: list[NDArray[np.floating]] = []
    where = _common_map(dataset, embedding) if by == "cluster" else f"predicted_{found.name}_proba"
    for fov in job.track(dataset.fovs, "read embedding"):
        shard = dataset.workspace.embedding(embedding, fov)
        if where not in shard.obsm:
            raise MissingInput(f"predictions of '{found.name}'", "classify", fov.name)
        values.append(np.asarray(shard.obsm[where]))
        cells = nodes(shard).assign(fov_name=fov.name)
        states = given.get(fov.name, {})
        cells["given"] = [states.get(node, "") for node in cells["id"]]
        tables.append(cells)
    cells = pd.concat(tables, ignore_index=True)
    if f"predicted_{found.name}" in cells:
        cells["predicted"] = cells[f"predicted_{found.name}"].astype(object).fillna("").astype(str)
    else:
        cells["predicted"] = ""
    state = cells["given"].to_numpy(str)
    job.report("choose cells")
    if by == "cluster":
        queue = unlabelled_clusters(np.concatenate(values), state != "", count)
        reasons = [f"group of {100 * share:.1f} % of the cells" for share in queue.scores]
        return _table(cells, queue, reasons)
    said = cells[f"predicted_{found.name}"].to_numpy(str)
    track = cells.groupby(["fov_name", "track_id"], sort=False).ngroup().to_numpy()
    # An FOV that an older classifier predicted may know fewer states.
    width = max(part.shape[1] for part in values)
    probability = np.concatenate(
        [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in values]
    )
    confidence = probability.max(axis=1)
    if by == "uncertain":
        queue = most_uncertain(probability, state != "", track, count)
        reasons = [f"{said[i]} at {100 * confidence[i]:.0f} %" for i in queue.rows]
    else:
        queue = disagreements(said, state, confidence, count, track)
        reasons = [
            f"annotated {state[i]}, predicted {said[i]} at {100 * confidence[i]:.0f} %"
            for i in queue.rows
        ]
    return _table(cells, queue, reasons)


def _table(cells: pd.DataFrame, queue: Queue, reasons: list[str]) -> pd.DataFrame:
    table = cells.iloc[queue.rows].reset_index(drop=True)
    return table.assign(reason=reasons, score=queue.scores)[REVIEW_COLUMNS]


def _states(dataset: Dataset, task: Task) -> dict[str, dict[int, str]]:
    """States that people gave to the cells, by FOV and node."""
    table = current_annotations(dataset)
    if task.column not in table:
        return {}
    table = table[table[task.column].notna()]
    return {
        str(name): dict(zip(part["id"], part[task.column].astype(str), strict=True))
        for name, part in table.groupby("fov_name")
    }


def _common_map(dataset: Dataset, embedding: str) -> str:
    """Return the first map that was made of all FOVs at once: else its axes do not agree."""
    workspace = dataset.workspace
    made = False
    for name in MAPS:
        result = f"projection.{embedding}.{name.removeprefix('X_')}"
        keys = {workspace.key(result, fov) for fov in dataset.fovs}
        if len(keys) == 1 and None not in keys:
            return name
        made |= keys != {None}
    if not made:
        raise MissingInput("map", "project")
    raise InvalidInput("No map covers all these FOVs: run 'project' over all of them at once.")


def _first_of_each(groups: NDArray[np.generic]) -> NDArray[np.bool_]:
    return np.asarray(~pd.Series(groups).duplicated().to_numpy(bool))


def _none() -> Queue:
    return Queue(np.zeros(0, np.intp), np.zeros(0))
