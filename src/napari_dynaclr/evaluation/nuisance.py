"""What profiles say that they should not: plate, place on the plate, place in the well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.profiles import profile_rows, read_profile, refuse_aligned
from napari_dynaclr.core.shards import vectors
from napari_dynaclr.evaluation.report import Report

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job

_COMPONENTS = 20
"""Principal components that predictions are made from."""


class NuisanceParams(Params):
    """Settings of the nuisance report."""

    profile: str = Field(
        "features",
        title="Profile",
        description="Which profile.",
        json_schema_extra={"choices": "profiles"},
    )
    folds: int = Field(
        4,
        title="Folds",
        description="In how many parts wells are divided for cross-validation.",
        ge=2,
        le=100,
        json_schema_extra={"advanced": True},
    )
    permutations: int = Field(
        100,
        title="Permutations",
        description="How often places are given at random, to see what chance is.",
        ge=10,
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


@dataclass(frozen=True)
class _Question:
    """One thing that should not be known.

    Attributes
    ----------
    name
        What it is called.
    fields
        (N,) the fields it is asked of, as rows of the profiles.
    label
        (N,) the answer for each field.
    group
        (N,) fields of one group are never both learned from and asked about.
    unit
        (N,) what is given another answer at random: whole wells, or fields within their well.
    within
        (N,) answers are exchanged within these only.
    if_told, if_not
        What it means.
    """

    name: str
    fields: NDArray[np.intp]
    label: NDArray[np.intp]
    group: NDArray[np.intp]
    unit: NDArray[np.intp]
    within: NDArray[np.intp]
    if_told: str
    if_not: str


def measure(dataset: Dataset, params: NuisanceParams, job: Job) -> Report:
    """Predict plate, row, column and field position from the profiles of fields.

    A field's profile is the mean over its time points. A linear classifier on the first
    principal components is asked about wells that it has not seen; about plates, at places on
    the plate that it has not seen.

    Returns
    -------
    Report
        ``nuisance``, ``classes``, ``fields``, ``score`` (balanced accuracy), ``chance``
        (of answers given at random) with its 95th percentile ``chance_high``, ``p``, and what
        it means in a sentence. Picture: scores beside chance.

    Raises
    ------
    MissingInput
        If the profile is not there, or out of date.
    InvalidInput
        If it was aligned, or there is nothing that could be told apart.
    """
    profile = read_profile(dataset, params.profile, "field")
    refuse_aligned(profile, params.profile)
    rows, matrix = _fields(profile_rows(profile), vectors(profile))
    if rows.groupby(["plate", "well"]).ngroups < 2:
        raise InvalidInput(
            f"Profile '{params.profile}' is of one well: what wells and fields have in common "
            "shows among several."
        )
    questions = _questions(rows)
    if not questions:
        raise InvalidInput(
            "There is nothing to be told apart: rows and columns need two wells each, places in "
            "the well several fields, and plates another plate (profile --also)."
        )
    table = []
    for question in job.track(questions, "predict"):
        seen = matrix[question.fields]
        score = _score(seen, question.label, question.group, params)
        if score is None:
            continue
        rng = np.random.default_rng(params.seed)
        chances = []
        for _ in job.track(range(params.permutations), question.name):
            given = _exchanged(question, rng)
            one = _score(seen, given, question.group, params)
            chances.append(np.nan if one is None else one)
        by_chance = np.array(chances)
        by_chance = by_chance[np.isfinite(by_chance)]
        p = float((1 + np.sum(by_chance >= score - 1e-12)) / (1 + len(by_chance)))
        mean = float(by_chance.mean()) if len(by_chance) else 1 / len(np.unique(question.label))
        told = p <= 0.05
        percent = f"{100 * score:.0f} %, {100 * mean:.0f} % by chance"
        table.append(
            {
                "nuisance": question.name,
                "classes": len(np.unique(question.label)),
                "fields": len(question.label),
                "score": score,
                "chance": mean,
                "chance_high": float(np.quantile(by_chance, 0.95)) if len(by_chance) else mean,
                "p": p,
                "meaning": f"{question.if_told if told else question.if_not} ({percent}).",
            }
        )
    if not table:
        raise InvalidInput("There are too few wells to learn from some and to ask about others.")
    found = pd.DataFrame(table)
    return Report(found, {"": _draw(found)}, of=params.profile)


def _fields(
    rows: pd.DataFrame, matrix: NDArray[np.float32]
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Average the time points of each field."""
    grouped = rows.groupby(["plate", "fov_name"], sort=False)
    number = grouped.ngroup().to_numpy()
    sums = np.zeros((number.max() + 1, matrix.shape[1]))
    np.add.at(sums, number, matrix)
    fields = rows.drop_duplicates(["plate", "fov_name"]).reset_index(drop=True)
    return fields, sums / np.bincount(number)[:, None]


def _questions(rows: pd.DataFrame) -> list[_Question]:
    """Say what there is to be told, of the classes of which several wells can be seen."""
    found = []
    if rows["plate"].nunique() > 1:
        found.append(
            _Question(
                "plate",
                np.arange(len(rows)),
                _numbers(rows, ["plate"]),
                group=_numbers(rows, ["well"]),
                unit=_numbers(rows, ["plate", "well"]),
                within=_numbers(rows, ["well"]),
                if_told="The plate can be told: profiles of different plates differ by more than "
                "their treatment",
                if_not="The plate cannot be told",
            )
        )
    found += [one for one in (_of_wells(rows, name) for name in ("row", "column")) if one]
    place = rows["fov_name"].str.rpartition("/")[2]
    here = _repeated(rows.assign(place=place), "place")
    if here["place"].nunique() > 1:
        found.append(
            _Question(
                "field position",
                here.index.to_numpy(),
                _numbers(here, ["place"]),
                group=_numbers(here, ["plate", "well"]),
                unit=np.arange(len(here)),
                within=_numbers(here, ["plate", "well"]),
                if_told="The place in the well can be told: profiles know what differs between "
                "fields, such as uneven light",
                if_not="The place in the well cannot be told",
            )
        )
    return found


def _of_wells(rows: pd.DataFrame, name: str) -> _Question | None:
    here = _repeated(rows, name)
    if here[name].nunique() < 2:
        return None
    because = (
        "profiles know the place on the plate, such as its edge"
        if (here.groupby(name)["condition"].nunique() > 1).any()
        else f"but every {name} holds one condition, so that this may be the treatment"
    )
    return _Question(
        name,
        here.index.to_numpy(),
        _numbers(here, [name]),
        group=_numbers(here, ["plate", "well"]),
        unit=_numbers(here, ["plate", "well"]),
        within=np.zeros(len(here), np.intp),
        if_told=f"The {name} of the well can be told: {because}",
        if_not=f"The {name} of the well cannot be told",
    )


def _repeated(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Keep the fields of the classes that are there in two wells or more."""
    wells = rows.drop_duplicates(["plate", "well", name])[name].value_counts()
    return rows[rows[name].isin(wells.index[wells >= 2])]


def _numbers(rows: pd.DataFrame, by: list[str]) -> NDArray[np.intp]:
    return np.asarray(rows.groupby(by, sort=False).ngroup(), np.intp)


def _exchanged(question: _Question, rng: np.random.Generator) -> NDArray[np.intp]:
    """Give the answers of the units to each other at random."""
    first = np.unique(question.unit, return_index=True)[1]
    answers, within = question.label[first], question.within[first]
    for place in np.unique(within):
        here = np.flatnonzero(within == place)
        answers[here] = answers[rng.permutation(here)]
    place_of = np.searchsorted(question.unit[first], question.unit)
    return np.asarray(answers[place_of], np.intp)


def _score(
    matrix: NDArray[np.float64],
    labels: NDArray[np.intp],
    groups: NDArray[np.intp],
    params: NuisanceParams,
) -> float | None:
    """Cross-validated balanced accuracy; None where no fold has two answers to learn."""
    rarest = int(np.unique(labels, return_counts=True)[1].min())
    folds = min(params.folds, len(np.unique(groups)), rarest)
    if folds < 2:
        return None
    kind = StratifiedGroupKFold(folds, shuffle=True, random_state=params.seed)
    said = np.full(len(labels), -1)
    for train, test in kind.split(matrix, labels, groups):
        if len(np.unique(labels[train])) < 2 or not len(test):
            continue
        count = min(_COMPONENTS, len(train) - 1, matrix.shape[1])
        model = make_pipeline(
            StandardScaler(), PCA(count, random_state=0), LogisticRegression(max_iter=1000)
        )
        said[test] = model.fit(matrix[train], labels[train]).predict(matrix[test])
    asked = said >= 0
    if not asked.any():
        return None
    return float(balanced_accuracy_score(labels[asked], said[asked]))


def _draw(table: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(5.5, 1.2 + 0.5 * len(table)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(table))
    colours = np.where(table["p"] <= 0.05, "#ee6677", "#bbbbbb")
    axes.barh(places, table["score"], 0.6, color=colours)
    axes.vlines(table["chance"], places - 0.3, places + 0.3, "k", lw=2)
    axes.vlines(table["chance_high"], places - 0.3, places + 0.3, "k", "dotted", lw=1)
    axes.set_yticks(places, table["nuisance"])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="balanced accuracy (line: chance, dotted: its 95th percentile)")
    return figure
