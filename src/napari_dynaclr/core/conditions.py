"""Conditions of wells: what was done to them, from a table or from the layout of the plate."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset

_WELL = re.compile(r"([A-Za-z]+)/?0*(\d+)")

FILE = "conditions.csv"
"""What the table is kept as in a workspace."""


def read_conditions(path: Path) -> pd.DataFrame:
    """Read a table of conditions.

    Parameters
    ----------
    path
        CSV with the columns ``well`` (as "A/1") or ``fov_name`` (as "A/1/0"), and
        ``condition``; ``plate`` where several plates differ. Rows without a condition are
        passed over.

    Returns
    -------
    pandas.DataFrame
        ``plate`` ("" for all), ``well`` (see :func:`usual_name`) and ``condition``, a row per
        well, as text.

    Raises
    ------
    InvalidInput
        If it cannot be read, lacks a column, or says two things of a well.
    """
    from napari_dynaclr.core.tables import read_csv, require_columns

    # As text: "None" and "NA" are treatments, and a dose of 1 is not one of 1.0.
    table = read_csv(path, "conditions table", as_text=True)
    if "well" not in table and "fov_name" in table:
        table["well"] = table["fov_name"].str.rpartition("/")[0]
    require_columns(table, ["well", "condition"], path)
    if "plate" not in table:
        table["plate"] = ""
    table = table[["plate", "well", "condition"]].copy()
    for column in table:
        table[column] = table[column].str.strip()
    table["well"] = table["well"].map(usual_name)
    named = (table["condition"] != "") & (table["well"] != "")
    table = table[named].drop_duplicates(ignore_index=True)
    if table.empty:
        raise InvalidInput(f"{path} names no condition: write a row for each well.")
    twice = table[table.duplicated(["plate", "well"])]
    if len(twice):
        raise InvalidInput(
            f"{path} gives well {twice['well'].iloc[0]} two conditions: keep one of them."
        )
    return table


def usual_name(well: str) -> str:
    """Return the name "A/1" of a well that somebody calls "A1", "a01" or "A/01".

    What is not called so, as "0/0" of single images, stays as it is.
    """
    parts = _WELL.fullmatch(well)
    return f"{parts[1].upper()}/{parts[2]}" if parts else well


def plate_name(dataset: Dataset) -> str:
    """Return what a plate is called in tables: the name of its folder, without ``.zarr``."""
    return dataset.root.name.removesuffix(".zarr").removesuffix(".ome")


def find_conditions(dataset: Dataset, path: str = "") -> dict[str, str]:
    """Find out the condition of each well.

    Parameters
    ----------
    dataset
        The plate.
    path
        Table to take them from; the one kept in the workspace if "".

    Returns
    -------
    dict
        Well -> condition, for all wells of the plate; "" where the table does not say. The
        plate's row where there is no table.

    Raises
    ------
    InvalidInput
        If the table cannot be used, or names wells that the plate does not have.
    """
    file = Path(path).expanduser() if path else dataset.workspace.path / FILE
    wells = dataset.whole.wells
    if not path and not file.exists():
        return {well: well.partition("/")[0] for well in wells}
    table = read_conditions(file)
    plate = plate_name(dataset)
    table = table[table["plate"].isin(["", plate])]
    called = {usual_name(well) for well in wells}
    unknown = [well for well in table["well"] if well not in called]
    if unknown:
        some = ", ".join(unknown[:6]) + (", ..." if len(unknown) > 6 else "")
        raise InvalidInput(
            f"{file} names wells that {dataset.root.name} does not have ({some}): it has "
            f"{', '.join(wells[:6])}{', ...' if len(wells) > 6 else ''}."
        )
    # A row for this plate counts more than one for all.
    ordered = table.sort_values("plate", kind="stable")
    known = dict(zip(ordered["well"], ordered["condition"], strict=True))
    if not known:
        raise InvalidInput(f"{file} says nothing of plate '{plate}': correct its column plate.")
    return {well: known.get(usual_name(well), "") for well in wells}


def keep_conditions(dataset: Dataset, path: str) -> None:
    """Keep a copy of a table in the workspace, where it is found from then on.

    Parameters
    ----------
    dataset
        The plate.
    path
        The table, which :func:`find_conditions` has accepted.
    """
    from napari_dynaclr.core.atomic import write_text

    source, kept = Path(path).expanduser(), dataset.workspace.path / FILE
    text = source.read_text(encoding="utf-8")
    if not kept.exists() or kept.read_text(encoding="utf-8") != text:
        write_text(kept, text)
