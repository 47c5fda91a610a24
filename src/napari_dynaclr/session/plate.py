"""What has been done in each FOV of a plate, at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.journal import Journal

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset

STEPS = ("stained", "segmented", "tracked", "embedded", "mapped", "predicted", "annotated")
"""What can have been done in a FOV, in the order of the work."""

_STEP_OF = {
    "stain": "stained",
    "segmentation": "segmented",
    "tracks": "tracked",
    "embeddings": "embedded",
    "projection": "mapped",
    "predictions": "predicted",
}


def plate_status(dataset: Dataset) -> dict[str, set[str]]:
    """Return what has been done in each FOV and is up to date; some of :data:`STEPS`.

    Reads the ledger only, a small file per result and FOV, and nothing of the images.
    """
    status: dict[str, set[str]] = {name: set() for name in dataset.fov_names}
    by_file = {name.replace("/", "_"): name for name in dataset.fov_names}
    ledger = dataset.workspace.path / "progress"
    for folder in ledger.iterdir() if ledger.is_dir() else ():
        step = _STEP_OF.get(folder.name.partition(".")[0])
        for file in folder.iterdir() if step and folder.is_dir() else ():
            name = by_file.get(file.name.removesuffix(".json"))
            if name is None or step is None:
                continue
            if not dataset.workspace.outdated(folder.name, dataset[name]):
                status[name].add(step)
    for fov_name, _, _ in Journal(dataset.workspace.journal).states():
        if fov_name in status:
            status[fov_name].add("annotated")
    return status


def latest(done: set[str]) -> str:
    """Return the step that a FOV has come to; "" where nothing has been done."""
    return next((step for step in reversed(STEPS) if step in done), "")
