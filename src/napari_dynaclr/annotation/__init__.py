"""Annotation: states that people give to cells, kept in an append-only journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import recorded

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params


def annotate(
    dataset: Dataset, params: Params | None = None, job: Job | None = None
) -> pd.DataFrame:
    """Take over annotations from a table, as one action that can be undone.

    Parameters
    ----------
    dataset
        A dataset that has been tracked.
    params
        Settings of an annotation method; they name the table.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        All current annotations: :data:`~napari_dynaclr.core.tables.ANNOTATION_COLUMNS`
        and one column of states per task. The same is written to ``annotations.csv``.

    Raises
    ------
    MissingInput
        If a FOV named in the table has not been tracked.
    InvalidInput
        If the table cannot be used.
    """
    from napari_dynaclr.core.annotations import current_annotations, write_annotations
    from napari_dynaclr.core.journal import Journal

    job = job or Job()
    method, params = resolve("annotate", params)
    with recorded(dataset, method, params):
        marks, annotator = method.load().read(dataset, params, job)
        journal = Journal(dataset.workspace.journal)
        journal.add(journal.new_only(marks), annotator)
        write_annotations(dataset)
    return current_annotations(dataset)
