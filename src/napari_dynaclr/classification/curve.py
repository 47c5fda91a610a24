"""The fraction of cells in a state over time (dynaclr.txt, 4.2 and Fig. 2c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.errors import InvalidInput, MissingInput, storage_errors
from napari_dynaclr.core.tables import read_csv, require_columns
from napari_dynaclr.core.tasks import UNKNOWN

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset

CURVE_COLUMNS = ["well", "t", "hours", "cells", "fraction", "low", "high"]
"""Columns of :func:`state_curve`."""

_FOVS = 3
"""FOVs of a well from which on their spread is estimated."""


def state_curve(
    predictions: pd.DataFrame,
    task_column: str,
    state: str,
    frame_interval: float | None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Count the cells in a state per well and time point.

    The band is Wilson's interval of a proportion (1927), which stays between 0 and 1 and
    does not vanish where all cells are in one state. Cells of one FOV are not
    independent: infection spreads from neighbour to neighbour. Where a well has three
    FOVs or more, the count of cells is therefore divided by the design effect: how much
    more the fraction varies between its FOVs than it would among independent cells
    (Rao and Scott 1992), never less than 1; and the interval is as wide as Student's t
    with one degree of freedom less than there are FOVs demands, as in surveys by
    clusters (Korn and Graubard 1998). With fewer FOVs their spread cannot be told: the
    band is then that of independent cells, too narrow rather than too wide.

    Parameters
    ----------
    predictions
        ``fov_name``, ``t`` and the column of states; blanks and "unknown" do not count.
    task_column
        The column of states.
    state
        The state to count.
    frame_interval
        Seconds from one time point to the next; None if not known.
    level
        Probability that the band covers.

    Returns
    -------
    pandas.DataFrame
        :data:`CURVE_COLUMNS`, ordered by well and time: ``hours`` since the first time
        point (NaN if the interval is not known), the number of ``cells``, the
        ``fraction`` of them in the state, and its band from ``low`` to ``high``.

    Raises
    ------
    InvalidInput
        If a column is missing.
    """
    require_columns(predictions, ["fov_name", "t", task_column], "The table of states")
    states = predictions[task_column]
    known = states.notna() & (states != "") & (states != UNKNOWN)
    fov = predictions["fov_name"].astype(str)[known]
    counts = (
        pd.DataFrame(
            {
                "well": fov.str.replace(r"/[^/]*$", "", regex=True),
                "fov": fov,
                "t": predictions["t"][known],
                "cells": 1,
                "hits": (states[known].astype(str) == state).astype(np.int64),
            }
        )
        .groupby(["well", "t", "fov"], as_index=False)
        .sum()
    )
    place = [counts["well"], counts["t"]]
    cells = counts.groupby(place)["cells"].transform("sum")
    fraction = counts.groupby(place)["hits"].transform("sum") / cells
    # How far each FOV is from what the well's fraction promises it, as a part of the well.
    counts["square"] = ((counts["hits"] - fraction * counts["cells"]) / cells) ** 2
    curve = (
        counts.groupby(["well", "t"])
        .agg(
            fovs=("fov", "size"),
            cells=("cells", "sum"),
            hits=("hits", "sum"),
            square=("square", "sum"),
        )
        .reset_index()
    )
    n, m = curve["cells"].to_numpy(float), curve["fovs"].to_numpy(float)
    p = curve["hits"].to_numpy() / n
    among_cells = p * (1 - p) / n
    among_fovs = curve["square"].to_numpy() * m / np.maximum(m - 1, 1)
    clustered = m >= _FOVS
    effect = np.ones(len(curve))
    spread = clustered & (among_cells > 0)
    effect[spread] = np.maximum(1, among_fovs[spread] / among_cells[spread])
    tail = (1 + level) / 2
    width = np.where(clustered, stats.t.ppf(tail, np.maximum(m - 1, 1)), stats.norm.ppf(tail))
    low, high = _wilson(p, n / effect, width)
    hours = np.nan if frame_interval is None else curve["t"] * frame_interval / 3600
    return curve.assign(hours=hours, fraction=p, low=low, high=high)[CURVE_COLUMNS]


def _wilson(
    p: NDArray[np.float64], n: NDArray[np.float64], z: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's interval of a proportion ``p`` of ``n``, ``z`` standard errors to either side."""
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # Rounding must not put the fraction itself outside.
    return np.clip(centre - half, 0, p), np.clip(centre + half, p, 1)


def predicted_curve(dataset: Dataset, task: str, state: str) -> pd.DataFrame:
    """Return :func:`state_curve` of the predictions of a task in a dataset's FOVs.

    Raises
    ------
    MissingInput
        If the task has not been classified, or not in these FOVs.
    InvalidInput
        If no cell was ever predicted to be in that state, naming those there are.
    """
    file = dataset.workspace.predictions(task)
    if not file.exists():
        raise MissingInput(f"predictions of '{task}'", "classify")
    table = read_csv(file, "predictions")
    column = f"predicted_{task}"
    names = [str(name) for name in table]
    states = [
        name.removeprefix("probability_") for name in names if name.startswith("probability_")
    ]
    if state not in states:
        raise InvalidInput(f"'{state}' is no state of {task}: there are {', '.join(states)}.")
    table = table[table["fov_name"].isin(dataset.fov_names)]
    if table.empty:
        raise MissingInput(f"predictions of '{task}'", "classify", dataset.fov_names[0])
    return state_curve(table, column, state, dataset.fovs[0].frame_interval)


def export_curve(dataset: Dataset, target: Path, task: str, state: str) -> pd.DataFrame:
    """Write :func:`predicted_curve` as CSV; an existing file is replaced."""
    curve = predicted_curve(dataset, task, state)
    with storage_errors(f"write {target}"):
        write_csv(target.expanduser(), curve)
    return curve
