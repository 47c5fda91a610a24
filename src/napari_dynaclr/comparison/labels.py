"""Which cells the classifiers learn from, and which they are tested on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.tables import read_csv, require_columns
from napari_dynaclr.core.taskbook import read_tasks
from napari_dynaclr.core.tasks import UNKNOWN, Task, find_task
from napari_dynaclr.evaluation.matching import match_centroids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.comparison.params import CompareParams
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job


class NothingToHoldOut(InvalidInput):
    """No part of the cells shows every state, while the others do too."""


LABEL_COLUMNS = ["fov_name", "id", "state"]


@dataclass(frozen=True)
class Labels:
    """States of cells, and how classifiers are to be judged by them.

    Attributes
    ----------
    task
        What the states are of.
    known
        Every cell whose state is known: :data:`LABEL_COLUMNS`.
    learnt
        What a classifier learns from, once per draw; none where it is to be
        cross-validated on ``known``.
    tested
        What it is then tested on.
    held_out
        Names of the FOVs that nothing is learnt from.
    how
        How the score comes about, for the reader of the table.
    """

    task: Task
    known: pd.DataFrame
    learnt: tuple[pd.DataFrame, ...]
    tested: pd.DataFrame
    held_out: tuple[str, ...]
    how: str

    @property
    def positive(self) -> str | None:
        """The state whose F1 is told: the second of a task that has two."""
        names = self.task.state_names
        return names[1] if len(names) == 2 else None


def find_labels(dataset: Dataset, params: CompareParams, job: Job) -> Labels:
    """Read states from the truth or the journal, and divide the cells.

    Raises
    ------
    InvalidInput
        If the truth is not of these cells, or the cells to learn from or those to test
        are of one state only.
    """
    task = find_task(params.task, read_tasks(dataset.workspace))
    if params.truth:
        return _from_truth(dataset, params, task, job)
    return _from_annotations(dataset, params, task)


def _from_truth(dataset: Dataset, params: CompareParams, task: Task, job: Job) -> Labels:
    file = Path(params.truth).expanduser()
    file = file / "annotations.csv" if file.is_dir() else file
    truth = read_csv(file, "true states")
    require_columns(truth, ["fov_name", "t", "y", "x", task.column], file)
    truth = truth[truth[task.column].notna() & (truth[task.column] != UNKNOWN)]
    parts = []
    for fov in job.track(dataset.fovs, "match the truth"):
        theirs = truth[truth["fov_name"] == fov.name]
        ours = dataset.workspace.tracks(fov)
        if "z" not in truth:  # then only the place in the plane counts
            theirs, ours = theirs.assign(z=0.0), ours.assign(z=0.0)
        pairs = match_centroids(theirs, ours, fov.scale, params.reach)
        states = theirs[task.column].astype(str).to_numpy()[pairs[:, 0]]
        ids = ours["id"].to_numpy()[pairs[:, 1]]
        parts.append(pd.DataFrame({"fov_name": fov.name, "id": ids, "state": states}))
    known = pd.concat(parts, ignore_index=True)
    if known.empty:
        raise InvalidInput(
            f"No cell of {file} is within {params.reach:g} um of a tracked one: check that it "
            "belongs to this dataset."
        )
    held_out = hold_out(dataset, params.held_out, known, params.task)
    away = known["fov_name"].isin(held_out)
    learnable, tested = known[~away], known[away]
    _refuse_one_state(learnable, tested, task)
    learnt = tuple(
        _clicks(learnable, params.clicks, np.random.default_rng([params.seed, draw]))
        for draw in range(params.draws)
    )
    wells = ", ".join(sorted({_well(name) for name in held_out}))
    how = (
        f"F1 of {len(tested)} cells in {wells}, which neither encoders nor classifiers have seen; "
        f"linear classifiers learnt from {len(learnt[0])} cells of the others, mean of "
        f"{params.draws} draws of these cells"
    )
    return Labels(task, known, learnt, tested, held_out, how)


def _from_annotations(dataset: Dataset, params: CompareParams, task: Task) -> Labels:
    table = current_annotations(dataset)
    known = pd.DataFrame(columns=LABEL_COLUMNS)
    if task.column in table:
        table = table[table[task.column].notna() & (table[task.column] != UNKNOWN)]
        table = table[table["fov_name"].isin(dataset.fov_names)]
        known = table.rename(columns={task.column: "state"})[LABEL_COLUMNS]
    held_out = tuple(dataset.select(params.held_out).fov_names) if params.held_out else ()
    away = known["fov_name"].isin(held_out)
    learnable, tested = known[~away], known[away]
    if known.empty:
        return Labels(task, known, (), tested, held_out, f"nothing is annotated for {task.name}")
    if not held_out:
        _refuse_one_state(known, known, task)
        how = f"F1 of {len(known)} annotated cells, cross-validated by linear classifiers"
        return Labels(task, known, (), known, (), how)
    _refuse_one_state(learnable, tested, task)
    how = (
        f"F1 of {len(tested)} annotated cells in {', '.join(params.held_out)}, which neither "
        f"encoders nor classifiers have seen; linear classifiers learnt from {len(learnable)} cells"
    )
    return Labels(task, known, (learnable,), tested, held_out, how)


def hold_out(
    dataset: Dataset, wanted: Sequence[str], known: pd.DataFrame, task: str
) -> tuple[str, ...]:
    """Choose the FOVs that nothing is learnt from.

    Parameters
    ----------
    dataset
        All FOVs.
    wanted
        Wells or FOVs; the last well, or else FOV, that shows every state if none is named.
    known
        ``fov_name`` and ``state`` of all cells whose state is known.
    task
        What the states are of, for the error message.

    Returns
    -------
    tuple of str
        Names of FOVs.

    Raises
    ------
    NothingToHoldOut
        If no well and no FOV shows every state, while the others do too.
    """
    if wanted:
        return tuple(dataset.select(wanted).fov_names)
    states = set(known["state"])
    for place in (_well, str):  # by FOV where there is one well only
        group = known["fov_name"].map(place)
        for name in reversed(list(dict.fromkeys(map(place, dataset.fov_names)))):
            inside, others = known["state"][group == name], known["state"][group != name]
            if set(inside) == set(others) == states:
                return tuple(fov for fov in dataset.fov_names if place(fov) == name)
    raise NothingToHoldOut(
        "No well and no FOV could be held out so that both it and the others show every state of "
        f"{task}: name wells or FOVs with held_out."
    )


def _refuse_one_state(learnable: pd.DataFrame, tested: pd.DataFrame, task: Task) -> None:
    for part, what in ((learnable, "to learn from"), (tested, "held out")):
        states = sorted(set(part["state"]))
        if len(states) < 2:
            said = f"are all '{states[0]}'" if states else "are none"
            raise InvalidInput(
                f"The cells {what} {said} by {task.name}: hold out other wells or FOVs, or name "
                "more cells."
            )


def _clicks(cells: pd.DataFrame, count: int, generator: np.random.Generator) -> pd.DataFrame:
    """Draw cells, as many of each state, in the order of the table."""
    groups = cells.groupby("state").indices
    each = max(count // len(groups), 1)
    chosen = [
        generator.choice(rows, min(each, len(rows)), replace=False) for rows in groups.values()
    ]
    return cells.iloc[np.sort(np.concatenate(chosen))]


def _well(fov_name: str) -> str:
    return fov_name.rpartition("/")[0]
