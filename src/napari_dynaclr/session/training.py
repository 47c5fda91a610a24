"""What a training has come to: its figures, epoch by epoch, and the encoders that came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

    from napari_dynaclr.core.job import Figures
    from napari_dynaclr.core.workspace import Workspace

MEASURES = ("loss", "validation_loss", "smoothness", "dynamic_range", "rank")
"""What is measured after an epoch, as the columns of a training's ``metrics.csv``."""


@dataclass(frozen=True)
class Training:
    """A training that is running, or has run since the viewer was opened.

    Attributes
    ----------
    workspace
        Folder of the results that it belongs to.
    name
        Of its encoder.
    epochs
        How many there are to be.
    earlier
        Figures of the run that it goes on from, as :func:`read_figures` returns them.
    figures
        Of the epochs of this run, the last one last.
    """

    workspace: Path
    name: str
    epochs: int = 0
    earlier: pd.DataFrame | None = None
    figures: tuple[Figures, ...] = ()

    def plus(self, figures: Figures) -> Training:
        """Return it after another epoch."""
        return replace(self, figures=(*self.figures, figures))

    def table(self) -> pd.DataFrame:
        """Return a row per epoch: ``epoch``, and what was measured of :data:`MEASURES`."""
        rows = [{"epoch": one.epoch, **one.values} for one in self.figures]
        table = pd.DataFrame(rows, columns=None if rows else ["epoch"])
        if self.earlier is not None and rows:
            before = self.earlier[self.earlier["epoch"] < self.figures[0].epoch]
            table = pd.concat([before, table], ignore_index=True) if len(before) else table
        return table.drop_duplicates("epoch", keep="last").reset_index(drop=True)


def encoders(workspace: Workspace) -> list[str]:
    """Paths of the encoders that were trained in a workspace, by name."""
    # Not those that begin with a dot: a killed program left them unfinished.
    found = workspace.trained("any").parent.glob("[!.]*.safetensors")
    return sorted(map(str, found))


def read_figures(workspace: Workspace, name: str) -> pd.DataFrame | None:
    """Read the figures that a training has left, or None if there are none to read.

    Parameters
    ----------
    workspace
        Where it was trained.
    name
        Name of its encoder.

    Returns
    -------
    pandas.DataFrame or None
        A row per epoch: ``epoch``, and what was measured of :data:`MEASURES`.
    """
    try:
        table = pd.read_csv(workspace.trained(name).with_suffix("") / "metrics.csv")
    except (OSError, ValueError):  # not there, or cut off while it was written
        return None
    return table if "epoch" in table and len(table) else None


def last_run(workspace: Workspace) -> tuple[str, bool]:
    """Name of the encoder of the last training, "" if there was none; whether it finished."""
    runs = [run for run in workspace.runs() if run.get("stage") == "train"]
    if not runs:
        return "", False
    last = runs[-1]
    return str(dict(last.get("params", {})).get("name", "")), last.get("status") == "finished"
