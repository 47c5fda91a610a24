"""How a dataset was stained: the network and the settings of the last run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import MissingInput
from napari_dynaclr.core.registry import find_method

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.core.registry import Method


def last_stain(dataset: Dataset) -> tuple[Method, Params]:
    """Return the method and the settings of the last run of 'stain' that was finished.

    Raises
    ------
    MissingInput
        If there is none.
    InvalidInput
        If its settings are of another version, and no longer known.
    """
    for run in reversed(dataset.workspace.runs()):
        if run.get("stage") == "stain" and run.get("status") == "finished":
            method = find_method("stain", run["method"])
            return method, method.params_class().parse(run["params"])
    raise MissingInput("virtual stain", "stain")
