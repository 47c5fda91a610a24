"""Evaluation: how good embeddings, tracks and predictions are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import recorded

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.evaluation.report import Report


def evaluate(
    dataset: Dataset, params: Params | None = None, job: Job | None = None
) -> pd.DataFrame:
    """Measure the results of earlier stages.

    Parameters
    ----------
    dataset
        The dataset, or the FOVs of it, to measure.
    params
        Settings of an evaluation method; the default method if omitted.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        A table of the method's own; also written to ``evaluation/<method>.csv``. Methods
        that draw leave ``evaluation/<method>.png`` beside it, those with further tables
        ``evaluation/<method>-<name>.csv``. Of likely events and profiles, the names of the files
        say what was measured, too, as in ``evaluation/retrieval-features-well.csv``.

    Raises
    ------
    MissingInput
        If what is to be measured has not been made.
    """
    from napari_dynaclr.core.atomic import write_csv
    from napari_dynaclr.core.figures import save_figure

    job = job or Job()
    method, params = resolve("evaluate", params)
    with recorded(dataset, method, params) as entry:
        report: Report = method.load().measure(dataset, params, job)
        title = f"{method.name}{'-' * bool(report.of)}{report.of}"
        file = dataset.workspace.evaluation(title)
        entry["table"] = file.name
        write_csv(file, report.table)
        for name, table in report.more.items():
            write_csv(file.with_name(f"{title}-{name}.csv"), table)
        for name, figure in report.pictures.items():
            job.report("draw")
            picture = file.with_name(f"{title}{'-' * bool(name)}{name}.png")
            job.note(f"Picture: {save_figure(figure, picture)}.")
    return report.table
