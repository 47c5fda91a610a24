"""The cells that a viewer shows as a table, for a spreadsheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.tasks import Task
    from napari_dynaclr.session.cells import Cells
    from napari_dynaclr.session.marks import Marks


def cell_table(
    cells: Cells, selection: NDArray[np.intp], tasks: Sequence[Task], marks: Marks
) -> pd.DataFrame:
    """Return what is known of the cells, a row each; in a job, if there are many.

    Parameters
    ----------
    cells
        The cells.
    selection
        Rows of the selected ones.
    tasks
        Tasks whose annotations are wanted.
    marks
        The annotations.

    Returns
    -------
    pandas.DataFrame
        ``fov_name``, the track columns, ``selected``, the maps (``PHATE1``, ...), and for
        each task the state given by a person and the predicted state with its confidence.
    """
    table = cells.nodes(slice(None))
    selected = np.zeros(len(cells), bool)
    selected[selection] = True
    table["selected"] = selected
    for name, places in cells.maps.items():
        for i in range(places.shape[1]):
            table[f"{name.upper()}{i + 1}"] = places[:, i]
    for task in tasks:
        states = (*task.state_names, "unknown")
        codes = marks.codes(cells, task.name, states)
        if (codes >= 0).any():
            table[task.column] = np.array([*states, ""], object)[codes]
    for name, prediction in cells.predictions.items():
        table[f"predicted_{name}"] = np.array([*prediction.states, ""], object)[prediction.codes]
        table[f"confidence_{name}"] = prediction.confidence
    return table
