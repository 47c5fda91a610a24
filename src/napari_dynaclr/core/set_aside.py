"""Predictions of cells that were deleted, set aside for the deletion may be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.atomic import write_csv

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

    from napari_dynaclr.core.workspace import Workspace

MADE_FROM = "made_from"
"""Column with the key of the tracks that the cell was deleted from."""


def read_set_aside(workspace: Workspace, task: str, columns: list[str]) -> pd.DataFrame:
    """Read the rows that were set aside of a table of predictions, as text.

    Parameters
    ----------
    workspace, task
        Which table.
    columns
        Its columns; rows of a table with others are of no use to it.

    Returns
    -------
    pandas.DataFrame
        The columns and :data:`MADE_FROM`; without rows if there are none.
    """
    import pandas as pd

    columns = [*columns, MADE_FROM]
    file = workspace.set_aside(task)
    if file.exists():
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        if list(table) == columns:
            return table
    return pd.DataFrame(columns=columns, dtype=str)


def keep_set_aside(workspace: Workspace, task: str, fov_names: Collection[str]) -> None:
    """Keep what was set aside of some FOVs: the others are predicted anew.

    Only for who holds :meth:`~napari_dynaclr.core.workspace.Workspace.lock`.
    """
    import pandas as pd

    file = workspace.set_aside(task)
    if not file.exists():
        return
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    kept = table[table["fov_name"].isin(list(fov_names))]
    if kept.empty:
        file.unlink()
    elif len(kept) < len(table):
        write_csv(file, kept)
