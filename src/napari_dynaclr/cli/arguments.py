"""What most commands are given: a dataset, its workspace, some of its FOVs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset

DATASET = click.Argument(["dataset"], type=click.Path(path_type=Path))
WORKSPACE = click.Option(
    ["--workspace"],
    type=click.Path(path_type=Path),
    help="Folder of the results; beside the dataset by default.",
)
FOV = click.Option(
    ["--fov"],
    multiple=True,
    help="FOV (A/1/0), well (A/1) or pattern (A/*) to work on; all by default. "
    "May be given several times.",
)


def open_selected(dataset: Path, workspace: Path | None, fov: tuple[str, ...]) -> Dataset:
    """Open the FOVs that a command is to work on; all of them if none is named."""
    from napari_dynaclr.core.dataset import open_dataset

    found = open_dataset(dataset, workspace)
    return found.select(fov) if fov else found
