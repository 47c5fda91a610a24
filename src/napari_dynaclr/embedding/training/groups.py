"""Groups of cells that are to be learned from alike: wells, or states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.tables import read_csv
from napari_dynaclr.core.tasks import find_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.embedding.training.cells import Cells


def find_groups(cells: Cells, balance: str, task: str) -> NDArray[np.int64] | None:
    """Return the number of each cell's group, (N,); None if there are none.

    Parameters
    ----------
    cells
        The cells.
    balance
        "none", "well" or "state".
    task
        Whose states: those annotated, else those predicted. Cells of no state are a group
        of their own.

    Raises
    ------
    InvalidInput
        If no cell has a state of the task.
    """
    if balance == "none":
        return None
    if balance == "well":
        names = [f"{one.number}|{one.fov.name.rpartition('/')[0]}" for one in cells.sources]
        wells = pd.factorize(np.array(names, object))[0].astype(np.int64)
        return wells[cells.nodes.fov]
    states = np.full(len(cells.nodes), "", object)
    known: dict[int, dict[tuple[str, int], str]] = {}
    for number, source in enumerate(cells.sources):
        if source.number not in known:
            known[source.number] = states_of(source.dataset, task)
        here = np.flatnonzero(cells.nodes.fov == number)
        ids = source.tracks["id"].to_numpy()[cells.place[here]]
        name = source.fov.name
        states[here] = [known[source.number].get((name, int(i)), "") for i in ids]
    if not (states != "").any():
        raise InvalidInput(
            f"No cell has a state of the task '{task}': annotate some, or run 'classify'."
        )
    return pd.factorize(states)[0].astype(np.int64)


def states_of(dataset: Dataset, task: str) -> dict[tuple[str, int], str]:
    """Return the states of cells by FOV name and node id: predicted ones, over them annotated."""
    found: dict[tuple[str, int], str] = {}
    predictions = dataset.workspace.predictions(task)
    if predictions.exists():
        found |= _by_cell(read_csv(predictions, "predictions"), f"predicted_{task}")
    return found | _by_cell(current_annotations(dataset), find_task(task).column)


def _by_cell(table: pd.DataFrame, column: str) -> dict[tuple[str, int], str]:
    if column not in table:
        return {}
    named = table[table[column].notna() & (table[column] != "")]
    keys = zip(named["fov_name"], named["id"].astype(int), strict=True)
    return dict(zip(keys, named[column].astype(str), strict=True))
