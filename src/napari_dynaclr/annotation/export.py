"""Annotations for napari-iohub and VisCy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.core.tables import ANNOTATION_COLUMNS, TRACK_COLUMNS

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset


def export_annotations(dataset: Dataset, target: str | Path) -> pd.DataFrame:
    """Write napari-iohub's form: every node of the annotated FOVs, with its states.

    Parameters
    ----------
    dataset
        The dataset, or the FOVs of it, to export.
    target
        CSV to write; replaced if it exists.

    Returns
    -------
    pandas.DataFrame
        ``fov_name``, the track columns, one column per task (blank: not annotated),
        annotator, date, version.

    Raises
    ------
    InvalidInput
        If nothing has been annotated in these FOVs.
    """
    marks = current_annotations(dataset)
    marks = marks[marks["fov_name"].isin(dataset.fov_names)]
    if marks.empty:
        raise InvalidInput("Nothing has been annotated yet: there is nothing to export.")
    states = [name for name in marks if name not in ANNOTATION_COLUMNS]
    extra = marks[["fov_name", "id", *states, "annotator", "date", "version"]]
    parts = [
        dataset.workspace.tracks(dataset[name])[TRACK_COLUMNS].assign(fov_name=name)
        for name in marks["fov_name"].unique()
    ]
    table = pd.concat(parts, ignore_index=True).merge(extra, on=["fov_name", "id"], how="left")
    table = table[["fov_name", *table.columns.drop("fov_name")]]
    with storage_errors(f"write {target}"):
        write_csv(Path(target).expanduser(), table)
    return table
