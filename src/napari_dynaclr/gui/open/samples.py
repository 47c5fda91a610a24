"""Sample data: made on the user's machine, in the background."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QStandardPaths

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from napari import Viewer

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.runner import Run
    from napari_dynaclr.gui.workbench import Workbench

ADDRESS = "dynaclr://infection"
"""What napari's menu opens with our reader."""

SIMULATE = "simulate"
"""Title of the run that makes the sample."""


def sample_path() -> Path:
    """Where the sample is kept, once it has been made."""
    place = QStandardPaths.StandardLocation.GenericDataLocation
    return Path(QStandardPaths.writableLocation(place)) / "napari-dynaclr" / "infection.zarr"


def make_sample(bench: Workbench) -> Run | None:
    """Open the simulated infection time-lapse; make it first, if it is not there yet.

    Returns
    -------
    Run or None
        The run that makes it; None where it is there, or another stage is running.
    """
    path = sample_path()
    if path.exists():
        bench.open(path)
        return None
    if bench.runner.stage is not None:
        bench.explain(InvalidInput(f"'{bench.runner.stage.title}' is running: wait or cancel."))
        return None

    def work(job: Job) -> Path:
        from napari_dynaclr.sample import simulate

        path.parent.mkdir(parents=True, exist_ok=True)
        return simulate(path, None, job)

    return bench.runner.start_stage(SIMULATE, work, bench.open)


def show_sample(viewer: Viewer) -> None:
    """Open the sample in the widget that shows how far it is, if it must be made."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-dynaclr", "Open dataset")
    widget.make_sample()
