"""Actions from a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import Field

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.tables import require_columns
from napari_dynaclr.tracking.correction.acting import Wish, act, write_all
from napari_dynaclr.tracking.correction.corrector import Corrector

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job


class TableParams(Params):
    """Where the table is."""

    path: str = Field(
        title="Table of actions",
        description="CSV with the columns action, id, other_id, third_id (cells by id or as "
        "track@t); fov_name with several FOVs; t, z, y, x (pixels) and radius (um) for 'add'; "
        "replace and kind where needed: as 'correct' lists them.",
        json_schema_extra={"path": "file", "filter": "CSV (*.csv)"},
    )


def run(dataset: Dataset, params: TableParams, job: Job) -> pd.DataFrame:
    """Do the actions of a table in order, and write the tracks.

    A table that has been taken over already changes nothing.

    Raises
    ------
    InvalidInput
        If the table cannot be used, or an action cannot be done; those before it are.
    """
    path = Path(params.path).expanduser()
    table = _read(path)
    by_fov: dict[str, list[Wish]] = {}
    for number, row in enumerate(table.to_dict("records"), start=1):
        by_fov.setdefault(_fov(dataset, row, path), []).append(
            _wish(row, f"{path}, row {number}: ")
        )
    for wishes in by_fov.values():
        for wish in wishes:
            wish.check()
    for name, wishes in by_fov.items():
        act(Corrector(dataset, name), wishes, job)
    return write_all(dataset, job)


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (FileNotFoundError, IsADirectoryError):
        raise InvalidInput(f"{path} is no file: check the path of the table of actions.") from None
    except ValueError as error:  # a parser's and a decoder's errors are both
        raise InvalidInput(f"{path} is not a CSV table: {str(error).splitlines()[0]}.") from None
    require_columns(table, ["action"], path)
    if table.empty:
        raise InvalidInput(f"{path} has no rows: write an action in each.")
    return table


def _fov(dataset: Dataset, row: dict[Any, str], path: Path) -> str:
    name = row.get("fov_name", "").strip("/ ")
    if name:
        return dataset[name].name
    if len(dataset.fov_names) != 1:
        raise InvalidInput(
            f"{path} has no column fov_name, but the dataset has {len(dataset.fov_names)} FOVs: "
            "add it, or choose one with --fov."
        )
    return dataset.fov_names[0]


def _wish(row: dict[Any, str], where: str) -> Wish:
    action = row["action"].strip()
    cells = [row.get(name, "").strip() for name in ("id", "other_id", "third_id")]
    cells = [cell for cell in cells if cell not in ("", "-1")]
    place = None
    if action == "add":
        cells = []  # a list of corrections says which id the cell got
        place = tuple(_number(row, name, where) for name in ("t", "z", "y", "x"))
    return Wish(
        action,
        tuple(cells),
        place,  # type: ignore[arg-type] # four of them
        radius=_number(row, "radius", where, 5.0) or 5.0,
        replace=row.get("replace", "").strip().lower() in ("true", "1", "yes"),
        kind=row.get("kind", "").strip(),
        where=where,
    )


def _number(row: dict[Any, str], name: str, where: str, default: float | None = None) -> float:
    text = row.get(name, "").strip()
    if not text and (default is not None or name == "z"):
        return default or 0.0
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{where}'{name}' is blank or no number.") from None
