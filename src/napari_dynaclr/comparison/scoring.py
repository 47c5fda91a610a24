"""How good an embedding is: F1 of linear classifiers, smoothness, dynamic range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from napari_dynaclr.classification.linear import LinearParams, fit
from napari_dynaclr.classification.validation import cross_validate
from napari_dynaclr.core.shards import nodes, vectors
from napari_dynaclr.core.tables import lineage_roots
from napari_dynaclr.evaluation.smoothness import SmoothnessParams
from napari_dynaclr.evaluation.smoothness import measure as measure_smoothness

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.comparison.labels import Labels
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job

SCORES = ["f1", "f1_sd", "f1_mean_of_states", "smoothness", "dynamic_range"]
"""Columns that :func:`judge` gives; those it cannot tell are NaN."""

_KEY = ["fov_name", "id"]


def judge(
    dataset: Dataset,
    embedding: str,
    standardize: bool,
    labels: Labels,
    job: Job,
) -> dict[str, float]:
    """Score an embedding.

    Parameters
    ----------
    dataset
        The dataset.
    embedding
        Name of the embedding.
    standardize
        Whether dimensions are scaled to unit variance before distances are measured.
    labels
        What classifiers learn and are tested on.
    job
        Progress and cancelling.

    Returns
    -------
    dict
        :data:`SCORES`; F1 is that of the task's second state, or the mean of its states
        where there are more than two.
    """
    measured = dataset.select(labels.held_out) if labels.held_out else dataset
    settings = SmoothnessParams(embedding=embedding, standardize=standardize)
    table = measure_smoothness(measured, settings, job).table
    values = table.set_index("metric")["value"]
    return {
        **_f1(dataset, embedding, labels, job),
        "smoothness": float(values["smoothness"]),
        "dynamic_range": float(values["dynamic_range"]),
    }


def _f1(dataset: Dataset, embedding: str, labels: Labels, job: Job) -> dict[str, float]:
    if labels.known.empty:
        return dict.fromkeys(SCORES[:3], np.nan)
    wanted = pd.concat([*labels.learnt, labels.tested])[["fov_name", "id"]].drop_duplicates()
    cells, matrix = _cells(dataset, embedding, wanted, job)
    if not labels.learnt:
        return _cross_validated(cells, matrix, labels, job)
    place = pd.Series(np.arange(len(cells)), index=pd.MultiIndex.from_frame(cells[_KEY]))
    tested = matrix[place.loc[pd.MultiIndex.from_frame(labels.tested[_KEY])].to_numpy()]
    truth = labels.tested["state"].to_numpy(str)
    states = np.unique(truth)
    params = LinearParams(task=labels.task.name)
    found = []
    for learnt in job.track(labels.learnt, f"classify on {embedding}"):
        rows = place.loc[pd.MultiIndex.from_frame(learnt[_KEY])].to_numpy()
        model = fit(matrix[rows], learnt["state"].to_numpy(str), params)
        by_state = f1_score(
            truth, model.predict(tested), labels=states, average=None, zero_division=0
        )
        found.append(_told(dict(zip(states, by_state, strict=True)), labels.positive))
    score = np.array(found)
    spread = float(score[:, 0].std(ddof=1)) if len(score) > 1 else np.nan
    return dict(zip(SCORES[:3], (score[:, 0].mean(), spread, score[:, 1].mean()), strict=True))


def _cells(
    dataset: Dataset, embedding: str, wanted: pd.DataFrame, job: Job
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Read the vectors of some cells, FOV by FOV: (N,) and (N, D)."""
    tables, parts = [], []
    for name, part in job.track(wanted.groupby("fov_name"), f"read {embedding}"):
        shard = dataset.workspace.embedding(embedding, dataset[str(name)])
        cells = nodes(shard)
        rows = np.flatnonzero(cells["id"].isin(part["id"]))
        roots = lineage_roots(cells)
        here = cells.iloc[rows][["fov_name", "id", "track_id"]].astype({"fov_name": str})
        tables.append(here.assign(lineage=[f"{name}/{roots[one]}" for one in here["track_id"]]))
        parts.append(vectors(shard)[rows])
    return pd.concat(tables, ignore_index=True), np.concatenate(parts)


def _cross_validated(
    cells: pd.DataFrame, matrix: NDArray[np.float32], labels: Labels, job: Job
) -> dict[str, float]:
    """Hold out wells, or else FOVs, or else lineages, whatever can be held out."""
    cells = cells.merge(labels.tested, on=_KEY, how="left")
    fov = cells["fov_name"]
    params = LinearParams(task=labels.task.name)
    for groups in (fov.str.rpartition("/")[0], fov, cells["lineage"]):
        job.check()
        scores = cross_validate(
            lambda x, y: fit(x, y, params),
            matrix,
            cells["state"].to_numpy(str),
            groups.to_numpy(str),
            params.folds,
        )
        if scores is not None:
            one, mean = _told(scores["f1"], labels.positive)
            return dict(zip(SCORES[:3], (one, np.nan, mean), strict=True))
    return dict.fromkeys(SCORES[:3], np.nan)


def _told(by_state: dict[str, float], positive: str | None) -> tuple[float, float]:
    mean = float(np.mean(list(by_state.values())))
    return (mean if positive is None else float(by_state.get(positive, 0.0))), mean
