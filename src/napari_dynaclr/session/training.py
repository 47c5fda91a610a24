"""What a training has come to: its figures, epoch by epoch, and the networks that came of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from napari_dynaclr.core.weight_files import about_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Figures
    from napari_dynaclr.core.workspace import Workspace

MEASURES = (
    "loss", "validation_loss", "pcc", "centre_f1", "link_accuracy", "smoothness", "dynamic_range",
    "rank",
)  # fmt: skip
"""What is measured after an epoch, as the columns of a training's ``metrics.csv``."""


@dataclass(frozen=True)
class Training:
    """A training that is running, or has run since the viewer was opened.

    Attributes
    ----------
    workspace
        Folder of the results that it belongs to.
    name
        Of its network.
    epochs
        How many there are to be.
    earlier
        Figures of the run that it goes on from, as :func:`read_figures` returns them.
    figures
        Of the epochs of this run, the last one last; without their pictures.
    pictures
        The newest, as of :class:`~napari_dynaclr.core.job.Figures`.
    method
        Name of the method that trains.
    """

    workspace: Path
    name: str
    epochs: int = 0
    earlier: pd.DataFrame | None = None
    figures: tuple[Figures, ...] = ()
    pictures: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    method: str = ""

    def plus(self, figures: Figures) -> Training:
        """Return it after another epoch."""
        bare = replace(figures, pictures={})
        return replace(
            self, figures=(*self.figures, bare), pictures=figures.pictures or self.pictures
        )

    def table(self) -> pd.DataFrame:
        """Return a row per epoch: ``epoch``, and what was measured of :data:`MEASURES`."""
        rows = [{"epoch": one.epoch, **one.values} for one in self.figures]
        table = pd.DataFrame(rows, columns=None if rows else ["epoch"])
        if self.earlier is not None and rows:
            before = self.earlier[self.earlier["epoch"] < self.figures[0].epoch]
            table = pd.concat([before, table], ignore_index=True) if len(before) else table
        return table.drop_duplicates("epoch", keep="last").reset_index(drop=True)


class Kind(Enum):
    """What a network that was trained here is for."""

    ENCODER = "encoder"
    STAINER = "stainer"
    PRETRAINED = "pre-trained network"
    TRACKER = "tracker"
    ARROW = "TAP network"
    UNKNOWN = "network"


def kind_of(path: Path) -> Kind:
    """Tell what a network is for by what its file says of itself, without reading its weights."""
    about = about_weights(path)
    stainer = about.get("stainer")
    if isinstance(stainer, dict):
        return Kind.PRETRAINED if stainer.get("pretraining") else Kind.STAINER
    if about.get("kind") == "cellect":
        return Kind.TRACKER
    if about.get("kind") == "tap":
        return Kind.ARROW
    return Kind.ENCODER if "backbone" in about else Kind.UNKNOWN


@dataclass(frozen=True)
class Trained:
    """Paths of the networks that were trained in a workspace, by name.

    Attributes
    ----------
    encoders, stainers, pretrained, trackers, arrows
        Of each :class:`Kind`. Of a file that does not say what it is, reading it will tell:
        it is among encoders and stainers.
    """

    encoders: tuple[str, ...] = ()
    stainers: tuple[str, ...] = ()
    pretrained: tuple[str, ...] = ()
    trackers: tuple[str, ...] = ()
    arrows: tuple[str, ...] = ()


def trained(workspace: Workspace) -> Trained:
    """Look up what was trained in a workspace."""
    # Not those that begin with a dot: a killed program left them unfinished.
    files = sorted(workspace.trained("any").parent.glob("[!.]*.safetensors"))
    kinds = {str(file): kind_of(file) for file in files}

    def of(*wanted: Kind) -> tuple[str, ...]:
        return tuple(path for path, kind in kinds.items() if kind in wanted)

    return Trained(
        of(Kind.ENCODER, Kind.UNKNOWN),
        of(Kind.STAINER, Kind.UNKNOWN),
        of(Kind.PRETRAINED),
        of(Kind.TRACKER),
        of(Kind.ARROW),
    )


def read_figures(workspace: Workspace, name: str) -> pd.DataFrame | None:
    """Read the figures that a training has left, or None if there are none to read.

    Parameters
    ----------
    workspace
        Where it was trained.
    name
        Name of its network.

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


class LastRun(NamedTuple):
    """The last training of a workspace.

    Attributes
    ----------
    name
        Of its network; "" if there was no training.
    finished
        Whether it ended with a network.
    method
        Name of the method.
    """

    name: str = ""
    finished: bool = False
    method: str = ""


def last_run(workspace: Workspace) -> LastRun:
    """Look up the last training of a workspace."""
    runs = [run for run in workspace.runs() if run.get("stage") == "train"]
    if not runs:
        return LastRun()
    last = runs[-1]
    name = str(dict(last.get("params", {})).get("name", ""))
    return LastRun(name, last.get("status") == "finished", str(last.get("method", "")))
