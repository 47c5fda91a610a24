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
    """Return the method and the settings of the last run of 'stain' that a stain came of.

    That is one that was finished, or one that could not read some frames and finished all
    others.

    Raises
    ------
    MissingInput
        If there is none.
    InvalidInput
        If its settings are of another version, and no longer known.
    """
    workspace = dataset.workspace
    published = {workspace.finished("stain", fov) for fov in dataset.fovs} - {""}
    if not published:
        raise MissingInput("virtual stain", "stain")
    for run in reversed(workspace.runs()):
        # Times are written to the second, in UTC: they compare as text.
        if run.get("stage") == "stain" and any(
            run["started"] <= time <= run["ended"] for time in published
        ):
            method = find_method("stain", run["method"])
            return method, method.params_class().parse(run["params"])
    raise MissingInput("virtual stain", "stain")
