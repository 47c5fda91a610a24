"""Classification: from a few annotated cells to a state for every cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import recorded

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params


def classify(
    dataset: Dataset, params: Params | None = None, job: Job | None = None
) -> pd.DataFrame:
    """Learn a task from its annotations and predict it for every cell.

    Writes ``predictions/<task>.csv``, the classifier as ``classifiers/<task>.skops``
    with its cross-validated scores in ``classifiers/<task>.json``, and in the
    embedding's shards ``obs["predicted_<task>"]``, ``obsm["predicted_<task>_proba"]``
    and ``uns["predicted_<task>_classes"]``.

    Parameters
    ----------
    dataset
        A dataset that has been embedded and annotated. What is selected of it is
        predicted; all annotations are learnt from, or those that ``learn_from`` names.
    params
        Settings of a classification method; the default method if omitted.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        :data:`~napari_dynaclr.core.tables.PREDICTION_COLUMNS`, ``predicted_<task>``,
        ``confidence`` and one ``probability_<state>`` column per state.

    Raises
    ------
    MissingInput
        If a FOV has not been embedded.
    InvalidInput
        If there are no annotations of the task, or of one state only.
    """
    from napari_dynaclr.classification.learning import learn, predict

    job = job or Job()
    method, params = resolve("classify", params)
    module = method.load()
    with recorded(dataset, method, params):
        classifier = learn(dataset, method, module, params, job)
        return predict(dataset, classifier, job)
