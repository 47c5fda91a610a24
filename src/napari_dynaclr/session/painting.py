"""From what a person wants to see to a colour for every cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.shards import feature_names, places, read_feature, read_ids
from napari_dynaclr.core.tasks import UNKNOWN, find_task
from napari_dynaclr.session.cells import taken
from napari_dynaclr.session.colours import (
    ColourBy,
    Kind,
    Palette,
    by_category,
    by_track,
    by_value,
    distinct,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.tasks import Task
    from napari_dynaclr.session.cells import Cells, Prediction
    from napari_dynaclr.session.marks import Marks


def choices(cells: Cells, tasks: Sequence[Task], features: Sequence[str]) -> list[ColourBy]:
    """Return what these cells can be coloured by, in the order of a menu."""
    found = [ColourBy(Kind.TIME), ColourBy(Kind.TRACK)]
    if np.isfinite(cells.reliability).any():
        found.append(ColourBy(Kind.RELIABILITY))
    found += [ColourBy(Kind.STATE, task.name) for task in tasks]
    for task in cells.predictions:
        found += [ColourBy(Kind.PREDICTION, task), ColourBy(Kind.CONFIDENCE, task)]
    found += [ColourBy(Kind.WELL), ColourBy(Kind.FOV)]
    return found + [ColourBy(Kind.FEATURE, name) for name in features]


def features_of(dataset: Dataset, cells: Cells) -> list[str]:
    """Names of the dimensions of the embedding of some cells; in a job."""
    for name in cells.fovs if cells.embedding else ():
        if dataset.workspace.key(f"embeddings.{cells.embedding}", dataset.whole[name]):
            return feature_names(dataset.workspace.shard(cells.embedding, dataset.whole[name]))
    return []


def paint(
    dataset: Dataset, cells: Cells, colour_by: ColourBy, tasks: Sequence[Task], marks: Marks
) -> Palette:
    """Colour cells; reads the disk for a feature, so run it in a job.

    Parameters
    ----------
    dataset
        Where features are read.
    cells
        The cells.
    colour_by
        What to show; time, where there is nothing of that kind.
    tasks
        For the colours of states.
    marks
        States given by people.
    """
    kind, title = colour_by.kind, colour_by.title
    if kind is Kind.TRACK:
        return by_track(cells.track * 31 + cells.fov, title)
    prediction = cells.predictions.get(colour_by.name)
    if kind is Kind.STATE:
        names, colours = _states(colour_by.name, tasks, prediction, marks)
        return by_category(marks.codes(cells, colour_by.name, names), names, colours, title)
    if kind is Kind.PREDICTION and prediction is not None:
        names, colours = _states(colour_by.name, tasks, prediction, marks)
        order = np.array([*(names.index(state) for state in prediction.states), -1])
        return by_category(order[prediction.codes], names, colours, title)
    if kind is Kind.CONFIDENCE and prediction is not None:
        return by_value(prediction.confidence, title, "magma", robust=False)
    if kind is Kind.RELIABILITY and len(cells.reliability):
        return by_value(cells.reliability, title, "plasma", robust=False)
    if kind is Kind.WELL:
        wells = [name.rpartition("/")[0] for name in cells.fovs]
        unique = list(dict.fromkeys(wells))
        index = np.array([unique.index(well) for well in wells], np.int64)
        return by_category(index[cells.fov], unique, distinct(len(unique)), title)
    if kind is Kind.FOV:
        return by_category(cells.fov, cells.fovs, distinct(len(cells.fovs)), title)
    if kind is Kind.FEATURE:
        values = _feature(dataset, cells, colour_by.name)
        if values is not None:
            return by_value(values, title)
    return by_value(cells.t.astype(np.float32), ColourBy().title, robust=False)


def _states(
    task: str, tasks: Sequence[Task], prediction: Prediction | None, marks: Marks
) -> tuple[tuple[str, ...], list[str]]:
    """States of a task and their colours, those that only the data know included.

    The same whether given or predicted, so that a state has one colour everywhere.
    """
    more = (*(prediction.states if prediction else ()), *sorted(marks.counts(task)))
    known = find_task(task, tasks)
    names = tuple(dict.fromkeys(state for state in (*known.state_names, *more) if state != UNKNOWN))
    spare = distinct(20)[::-1]
    colours = [
        known.colour(name) if name in known.state_names else spare[i % 20]
        for i, name in enumerate(names)
    ]
    return names, colours


def _feature(dataset: Dataset, cells: Cells, name: str) -> NDArray[np.float32] | None:
    """Read one dimension of the embedding of every cell; NaN where a FOV has none."""
    values = np.full(len(cells), np.nan, np.float32)
    found = False
    for fov_name in cells.fovs:
        fov = dataset.whole[fov_name]
        if dataset.workspace.key(f"embeddings.{cells.embedding}", fov) is None:
            continue
        shard = dataset.workspace.shard(cells.embedding, fov)
        names = feature_names(shard)
        rows = cells.rows_of(fov_name)
        if name in names:
            column = read_feature(shard, names.index(name))
            values[rows] = taken(column, places(read_ids(shard), cells.id[rows]))
            found = True
    return values if found else None
