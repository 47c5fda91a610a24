"""From annotations to a classifier on disk, and from it to predictions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_dynaclr.classification.validation import cross_validate
from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.atomic import atomic_file, write_csv, write_text
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.runs import claimed, pending, result_key
from napari_dynaclr.core.set_aside import keep_set_aside
from napari_dynaclr.core.shards import nodes, vectors, write_shard
from napari_dynaclr.core.tables import PREDICTION_COLUMNS, lineage_roots
from napari_dynaclr.core.tasks import find_task, task_of_column

if TYPE_CHECKING:
    from types import ModuleType

    import anndata as ad
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.registry import Method
    from napari_dynaclr.core.workspace import Workspace

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Classifier:
    """A fitted classifier and what it was learnt from.

    Attributes
    ----------
    task, embedding
        What it predicts, from what.
    model
        Has ``predict_proba`` and ``classes_``.
    key
        Identifies annotations, settings and embedding.
    """

    task: str
    embedding: str
    model: Any
    key: str


@dataclass(frozen=True)
class _Annotated:
    """Annotated cells: vectors (N, D), states (N,) and the groups they belong to (N,)."""

    vectors: NDArray[np.float32]
    states: NDArray[np.str_]
    lineage: NDArray[np.str_]
    fov: NDArray[np.str_]

    @property
    def well(self) -> NDArray[np.str_]:
        return np.array([name.rpartition("/")[0] for name in self.fov])

    def digest(self) -> str:
        """Short hash of which cell has which state."""
        content = hashlib.sha256(self.vectors.tobytes())
        content.update("\n".join([*self.states, *self.lineage]).encode())
        return content.hexdigest()[:16]


def learn(
    dataset: Dataset, method: Method, module: ModuleType, params: Any, job: Job
) -> Classifier:
    """Fit, cross-validate and save a classifier of one task.

    Raises
    ------
    InvalidInput
        If there are no annotations of the task, or of one state only.
    """
    workspace = dataset.workspace
    embedding = f"embeddings.{params.embedding}"
    for fov in dataset.fovs:
        workspace.require(embedding, fov, f"embedding '{params.embedding}'", "embed")
    cells = _annotated(dataset, params, job)
    learnt = [workspace.key(embedding, dataset.whole[name]) for name in np.unique(cells.fov)]
    key = result_key(method, params, *learnt, cells.digest())

    def fit(vectors: NDArray[np.float32], states: NDArray[np.str_]) -> Any:
        return module.fit(vectors, states, params)

    job.report("cross-validate")
    report = {
        "task": params.task,
        "embedding": params.embedding,
        "method": method.name,
        "annotated": {
            str(state): int(count)
            for state, count in zip(*np.unique(cells.states, return_counts=True), strict=True)
        },
        "cross_validation": {
            split: cross_validate(fit, cells.vectors, cells.states, groups, params.folds)
            for split, groups in (
                ("track", cells.lineage),
                ("fov", cells.fov),
                ("well", cells.well),
            )
        },
    }
    job.report("fit")
    model = fit(cells.vectors, cells.states)
    _save(workspace, params.task, model, report)
    return Classifier(params.task, params.embedding, model, key)


def _save(workspace: Workspace, task: str, model: Any, report: dict[str, Any]) -> None:
    import skops.io

    file = workspace.classifier(task)
    with atomic_file(file) as temporary:
        skops.io.dump(model, temporary)
    write_text(file.with_suffix(".json"), json.dumps(report, indent=2) + "\n")


def _annotated(dataset: Dataset, params: Any, job: Job) -> _Annotated:
    """Collect the annotated cells, FOV by FOV; "unknown" is not a state."""
    # All annotations count, also those of FOVs that are not to be predicted now.
    source = dataset.whole.select(params.learn_from) if params.learn_from else dataset.whole
    column = find_task(params.task).column
    table = current_annotations(dataset)
    if table.empty:
        raise InvalidInput(
            "Nothing has been annotated yet: run 'annotate', or click cells in the viewer."
        )
    if column not in table:
        tasks = [task_of_column(str(name)) for name in table]
        known = [task.name for task in tasks if task]
        raise InvalidInput(
            f"No cell has been annotated for '{params.task}' "
            f"(there are {', '.join(known) or 'no annotations'}): run 'annotate' first."
        )
    table = table[table[column].notna() & (table[column] != UNKNOWN)]
    parts: list[_Annotated] = []
    for fov in job.track(source.fovs, "annotated cells"):
        states = table[table["fov_name"] == fov.name].set_index("id")[column]
        if states.empty:
            continue
        shard = dataset.workspace.embedding(params.embedding, fov)
        cells = nodes(shard)
        rows = np.flatnonzero(cells["id"].isin(states.index))
        obs = cells.iloc[rows]
        root = lineage_roots(cells)
        parts.append(
            _Annotated(
                vectors(shard)[rows],
                states.loc[obs["id"]].to_numpy(str),
                np.array([f"{fov.name}/{root[track]}" for track in obs["track_id"]]),
                np.full(len(rows), fov.name),
            )
        )
    if not parts:
        raise InvalidInput(
            f"No annotation of '{params.task}' is on a cell of the chosen FOVs: annotate some "
            "cells, or choose other FOVs."
        )
    joined = _Annotated(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("vectors", "states", "lineage", "fov")
        )
    )
    found = np.unique(joined.states)
    if len(found) < 2:
        raise InvalidInput(
            f"All {len(joined.states)} annotations of '{params.task}' say '{found[0]}': annotate "
            "cells in another state too."
        )
    return joined


def predict(dataset: Dataset, classifier: Classifier, job: Job) -> pd.DataFrame:
    """Predict every cell, shard by shard, and write the table of predictions."""
    workspace = dataset.workspace
    task, states = classifier.task, [str(state) for state in classifier.model.classes_]
    result = f"predictions.{classifier.embedding}.{task}"
    keys = dict.fromkeys(dataset.fov_names, classifier.key)
    done, todo = pending(dataset, result, keys)
    work = job.track(todo, "predict", done=len(done), total=len(dataset.fovs))
    for fov in claimed(workspace, f"embeddings.{classifier.embedding}", work):
        shard = workspace.embedding(classifier.embedding, fov)
        probability = classifier.model.predict_proba(vectors(shard))
        shard.obs[f"predicted_{task}"] = np.array(states)[probability.argmax(axis=1)]
        shard.obsm[f"predicted_{task}_proba"] = probability
        shard.uns[f"predicted_{task}_classes"] = np.array(states)
        # What was there is void once it is replaced, also if this run is killed then.
        write_shard(
            workspace.shard(classifier.embedding, fov),
            shard,
            partial(_forget, dataset, result, task, fov),
        )
        source = f"embeddings.{classifier.embedding}"
        made_from = workspace.key(source, fov) or ""
        workspace.mark_complete(result, fov, classifier.key, {source: made_from})
    # The table covers every FOV that this classifier has predicted, selected now or before.
    # Locked from the first shard that is read: tracks may be corrected meanwhile.
    with workspace.lock():
        fovs = [fov for fov in dataset.whole.fovs if workspace.key(result, fov) == classifier.key]
        tables = [
            _table(workspace.embedding(classifier.embedding, fov), task, states) for fov in fovs
        ]
        table = pd.concat(tables, ignore_index=True)
        write_csv(workspace.predictions(task), table)
        keep_set_aside(workspace, task, [fov.name for fov in fovs])
    return table[table["fov_name"].isin(dataset.fov_names)].reset_index(drop=True)


def _forget(dataset: Dataset, result: str, task: str, fov: Fov) -> None:
    """Make the predictions of a FOV void, also those of its deleted cells."""
    with dataset.workspace.lock():
        dataset.workspace.forget(result, fov)
        others = [name for name in dataset.whole.fov_names if name != fov.name]
        keep_set_aside(dataset.workspace, task, others)


def _table(shard: ad.AnnData, task: str, states: list[str]) -> pd.DataFrame:
    table = nodes(shard)[PREDICTION_COLUMNS].copy()
    probability = shard.obsm[f"predicted_{task}_proba"]
    table[f"predicted_{task}"] = shard.obs[f"predicted_{task}"].to_numpy()
    table["confidence"] = probability.max(axis=1)
    for i, state in enumerate(states):
        table[f"probability_{state}"] = probability[:, i]
    return table
