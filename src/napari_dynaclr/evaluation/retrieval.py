"""Replicate retrieval: whether wells under the same condition are each other's nearest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field
from sklearn.model_selection import StratifiedGroupKFold

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.profiles import profile_rows, read_profile, refuse_aligned
from napari_dynaclr.core.shards import vectors
from napari_dynaclr.evaluation.report import Report
from napari_dynaclr.evaluation.retrieving import (
    Retrieved,
    leave_one_out,
    retrieve,
    shuffled,
    vote,
)
from napari_dynaclr.evaluation.wording import retrieval_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.evaluation.retrieving import Split

MOST = 20_000
"""Profiles that are compared with each other; of more, so many are drawn."""


class RetrievalParams(Params):
    """Settings of replicate retrieval (sslprofiler.txt, Section 4.1)."""

    profile: str = Field(
        "features",
        title="Profile",
        description="Which profile.",
        json_schema_extra={"choices": "profiles"},
    )
    level: Literal["well", "well_time", "field"] = Field(
        "well",
        title="Level",
        description="What is compared: wells, wells at each time point, or fields.",
    )
    neighbors: int = Field(
        3,
        title="Neighbours",
        description="How many of the nearest vote; no more than every condition has replicates to "
        "be found, lest others outvote them.",
        ge=1,
        le=100,
    )
    standardize: bool = Field(
        True,
        title="Standardise",
        description="Scale every dimension to unit variance first, by the profiles that are "
        "compared with.",
    )
    folds: int = Field(
        4,
        title="Folds",
        description="In how many parts wells are divided for k-fold cross-validation.",
        ge=2,
        le=100,
        json_schema_extra={"advanced": True},
    )
    permutations: int = Field(
        200,
        title="Permutations",
        description="How often conditions are given to wells at random, to see what chance is.",
        ge=1,
        le=100_000,
        json_schema_extra={"advanced": True},
    )
    seed: int = Field(
        0,
        title="Seed",
        description="Makes folds and permutations repeatable.",
        ge=0,
        json_schema_extra={"advanced": True},
    )


def measure(dataset: Dataset, params: RetrievalParams, job: Job) -> Report:
    """Ask the nearest wells what condition each well is under.

    What is asked is never of the well in question, nor is any field of it: leave-one-well-out,
    k-fold over wells, and leave-one-plate-out where there are several plates.

    Returns
    -------
    Report
        By ``split`` and ``condition`` ("all" for all): ``queries``, ``wells``; ``accuracy`` of
        the vote of the nearest, its ``chance`` (mean over random conditions of the wells) and
        ``p`` (how often chance does as well); ``mean_average_precision`` of the ranking of all
        others, and ``chance_precision``. Further table "answers": what was said of each.
        Picture: what each condition was taken for, and scores beside chance.

    Raises
    ------
    MissingInput
        If the profile is not there, or out of date.
    InvalidInput
        If it was aligned, or fewer than two conditions have two wells.
    """
    profile = read_profile(dataset, params.profile, params.level)
    refuse_aligned(profile, params.profile)
    rows, names = _scored(profile_rows(profile), params, job)
    matrix = vectors(profile)[rows["row_number"]]
    labels = np.searchsorted(names, rows["condition"].to_numpy(str)).astype(np.intp)
    wells = _numbers(rows, ["plate", "well"])
    tables, answers = [], []
    first: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None
    for split, parts, fewest in _splits(rows, labels, wells, params):
        job.report(split)
        votes = min(params.neighbors, fewest)
        if votes < params.neighbors:
            job.note(
                f"{split.capitalize()}: the nearest {votes} vote, not {params.neighbors}, for a "
                "condition has no more replicates to be found."
            )
        found = retrieve(matrix, labels, parts, votes, params.standardize)
        job.check()
        said = vote(labels, found.nearest)
        first = first or (labels[found.rows], said)
        tables.append(_table(split, found, said, labels, wells, names, params))
        answers.append(_answers(split, found, said, rows, names))
    assert first is not None
    table = pd.concat(tables, ignore_index=True)
    for line in retrieval_words(table, params.level):
        job.note(line)
    job.note(
        "Chance is what comes of conditions given to wells at random, and p how often that does as "
        "well. mean_average_precision is 1 where all replicates come before all others; "
        "chance_precision is that of a random order."
    )
    return Report(
        table,
        {"": _draw(table, *first, names)},
        {"answers": pd.concat(answers, ignore_index=True)},
        of=f"{params.profile}-{params.level}",
    )


def _scored(
    rows: pd.DataFrame, params: RetrievalParams, job: Job
) -> tuple[pd.DataFrame, NDArray[np.str_]]:
    """Choose the profiles that have a replicate; also the names of their conditions."""
    rows = rows.assign(row_number=np.arange(len(rows)))
    wells = rows.drop_duplicates(["plate", "well"])
    if len(wells) < 2:
        raise InvalidInput(
            f"Profile '{params.profile}' is of one well: replicates can be found among several."
        )
    count = wells.loc[wells["condition"] != "", "condition"].value_counts()
    if len(count) < 2:
        one = f"all are under '{count.index[0]}'" if len(count) else "no well has any"
        raise InvalidInput(
            f"Retrieval tells conditions apart, and {one}: run 'profile' with a table of the "
            "conditions of the wells."
        )
    enough = sorted(str(name) for name in count.index[count >= 2])
    if len(enough) < 2:
        raise InvalidInput(
            "Retrieval needs two conditions with two wells each; there are "
            f"{', '.join(f'{name} ({n})' for name, n in count.head(6).items())}."
        )
    alone = sorted(str(name) for name in count.index[count < 2])
    if alone:
        job.note(f"Left out, for they have one well and no replicate: {', '.join(alone)}.")
    rows = rows[rows["condition"].isin(enough)]
    if len(rows) > MOST:
        job.note(f"{MOST} of {len(rows)} profiles were drawn to be compared.")
        rows = rows.sample(MOST, random_state=params.seed).sort_index()
    return rows.reset_index(drop=True), np.array(enough)


def _numbers(rows: pd.DataFrame, by: list[str]) -> NDArray[np.intp]:
    """Give each row the number of its group, from 0."""
    return np.asarray(rows.groupby(by, sort=False).ngroup(), np.intp)


def _splits(
    rows: pd.DataFrame,
    labels: NDArray[np.intp],
    wells: NDArray[np.intp],
    params: RetrievalParams,
) -> list[tuple[str, Iterable[Split], int]]:
    """Give each way to divide profiles, and the fewest references that a condition has then."""
    one_out = leave_one_out(wells)
    found: list[tuple[str, Iterable[Split], int]] = [
        ("leave one well out", one_out, _fewest_left(labels, wells))
    ]
    fewest = min(len(np.unique(wells[labels == label])) for label in np.unique(labels))
    folds = min(params.folds, fewest)
    kind = StratifiedGroupKFold(folds, shuffle=True, random_state=params.seed)
    parts = [(test, train) for train, test in kind.split(labels, labels, wells)]
    counts = np.array(
        [np.bincount(labels[train], minlength=labels.max() + 1) for _, train in parts]
    )
    found.append((f"{folds}-fold over wells", parts, int(counts[counts > 0].min())))
    plates = _numbers(rows, ["plate"])
    if plates.max() > 0:
        found.append(("leave one plate out", leave_one_out(plates), _fewest_left(labels, plates)))
    return found


def _fewest_left(labels: NDArray[np.intp], groups: NDArray[np.intp]) -> int:
    """Count what is left of a condition without the group that has most of it, at least."""
    counts = np.zeros((labels.max() + 1, groups.max() + 1), np.intp)
    np.add.at(counts, (labels, groups), 1)
    left = counts.sum(axis=1) - counts.max(axis=1)
    # What is in one group only is not asked about.
    return int(min(left[left > 0], default=1))


def _table(
    split: str,
    found: Retrieved,
    said: NDArray[np.intp],
    labels: NDArray[np.intp],
    wells: NDArray[np.intp],
    names: NDArray[np.str_],
    params: RetrievalParams,
) -> pd.DataFrame:
    right = said == labels[found.rows]
    groups = [np.ones(len(right), bool)] + [labels[found.rows] == i for i in range(len(names))]
    by_chance = np.zeros((params.permutations, len(groups)))
    for trial, given in enumerate(shuffled(labels, wells, params.permutations, params.seed)):
        hit = vote(given, found.nearest) == given[found.rows]
        for column, rows in enumerate(
            [groups[0]] + [given[found.rows] == i for i in range(len(names))]
        ):
            by_chance[trial, column] = hit[rows].mean() if rows.any() else np.nan
    table = []
    for column, (name, rows) in enumerate(zip(["all", *names], groups, strict=True)):
        if not rows.any():
            continue
        accuracy, chances = float(right[rows].mean()), by_chance[:, column]
        as_good = np.sum(chances[np.isfinite(chances)] >= accuracy - 1e-12)
        table.append(
            {
                "split": split,
                "condition": str(name),
                "queries": int(rows.sum()),
                "wells": len(np.unique(wells[found.rows[rows]])),
                "accuracy": accuracy,
                "chance": float(np.nanmean(chances)),
                "p": float((1 + as_good) / (1 + np.isfinite(chances).sum())),
                "mean_average_precision": float(found.precision[rows].mean()),
                "chance_precision": float(found.chance_precision[rows].mean()),
            }
        )
    return pd.DataFrame(table)


def _answers(
    split: str,
    found: Retrieved,
    said: NDArray[np.intp],
    rows: pd.DataFrame,
    names: NDArray[np.str_],
) -> pd.DataFrame:
    where = [name for name in ("plate", "well", "fov_name", "t", "condition") if name in rows]
    table = rows.loc[found.rows, where].reset_index(drop=True)
    table.insert(0, "split", split)
    table["answer"] = names[said]
    nearest = rows.iloc[found.nearest[:, 0]]
    for name in (name for name in ("plate", "well", "fov_name", "t") if name in rows):
        table[f"nearest_{name}"] = nearest[name].to_numpy()
    table["similarity"] = found.similarity
    table["average_precision"] = found.precision
    return table


def _draw(
    table: pd.DataFrame,
    labels: NDArray[np.intp],
    said: NDArray[np.intp],
    names: NDArray[np.str_],
) -> Figure:
    """Draw what each condition was taken for, and the scores of each split beside chance."""
    size = 1.6 + 0.45 * len(names)
    figure = Figure(figsize=(size + 4.2, max(3.2, size)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[size, 4.2])
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (labels, said), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(counts):
        colour = "white" if share[i, j] > 0.6 else "black"
        left.text(j, i, str(value), ha="center", va="center", fontsize=8, color=colour)
    left.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    left.set_yticks(range(len(names)), names, fontsize=8)
    left.set(xlabel="said of the nearest", ylabel="condition", title="leave one well out")
    scores = table[table["condition"] == "all"].reset_index(drop=True)
    places = np.arange(len(scores))
    kinds = (("accuracy", "chance", -0.2), ("mean_average_precision", "chance_precision", 0.2))
    for (name, by_chance, shift), colour in zip(kinds, ("#4477aa", "#ccbb44"), strict=True):
        right.barh(places + shift, scores[name], 0.36, color=colour, label=name.replace("_", " "))
        right.plot(scores[by_chance], places + shift, "k|", ms=14, mew=2)
    right.set_yticks(places, scores["split"], fontsize=8)
    right.invert_yaxis()
    right.set(xlim=(0, 1), title="score (black line: chance)")
    figure.legend(fontsize=8, loc="outside lower right", ncols=2)
    return figure
