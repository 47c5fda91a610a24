"""Tracking with CELLECT: its settings, and what makes it ready for a run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from napari_dynaclr.core.background import in_background
from napari_dynaclr.core.channels import named_after
from napari_dynaclr.core.device import Device, choose_device, device_memory, require_networks
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import ComputeParams
from napari_dynaclr.core.weights import find_preset, get_weights, local_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.weights import Preset, Weights
    from napari_dynaclr.tracking.cellect.engine import Engine
    from napari_dynaclr.tracking.movie import Linked, Movie


class CellectParams(ComputeParams):
    """Settings of tracking with CELLECT."""

    cells: Literal["segmented", "own"] = Field(
        "segmented",
        title="Cells",
        description="segmented: link the cells of 'segment', whose masks stay; own: CELLECT finds "
        "the cells itself, with coarse masks.",
    )
    preset: Literal["simulated-tracker", "none"] = Field(
        "simulated-tracker",
        title="Network",
        description="The small network that comes along, trained on simulated nuclei; none is "
        "for weights of your own.",
        json_schema_extra={"advanced": True},
    )
    weights: str = Field(
        "",
        title="Weights file",
        description="What you trained with 'train cellect' (.safetensors), or a published network "
        "(U-ext...pth, with its EX and EN files beside it).",
        json_schema_extra={
            "path": "file",
            "filter": "Weights (*.safetensors *.pth *.pt *.ckpt)",
            "choices": "trackers",
        },
    )
    channel: str = Field(
        "",
        title="Channel",
        description="What the network sees; the one that it was trained on or, if there is none "
        "of that name, one named after nuclei, if left empty.",
        json_schema_extra={"choices": "channels"},
    )
    diameter: float | None = Field(
        None,
        title="Cell diameter (um)",
        description="Images are enlarged or reduced so that cells of this diameter look as large "
        "as those that the network knows; by pixel size if left out.",
        gt=0,
        le=1000,
        json_schema_extra={"left_out": "by pixel size"},
    )
    max_distance: float | None = Field(
        None,
        title="Largest step (um)",
        description="A cell moves no further than this between two frames; six radii if left out.",
        gt=0,
        le=1000,
        json_schema_extra={"left_out": "six radii"},
    )
    max_gap: int = Field(
        2,
        title="Longest gap (frames)",
        description="A cell may be missed in this many frames; 0, as in the paper, closes no gaps.",
        ge=0,
        le=20,
        json_schema_extra={"advanced": True},
    )
    divisions: bool = Field(
        True,
        title="Divisions",
        description="Let a cell have two daughters in the next frame.",
        json_schema_extra={"advanced": True},
    )
    min_score: float = Field(
        0.1,
        title="Least score of a link",
        description="What the network is less sure of than this, from 0 to 1, is not linked.",
        ge=0.001,
        le=1,
        json_schema_extra={"advanced": True},
    )
    min_division: float = Field(
        0.5,
        title="Least probability of a division",
        description="What is less likely than this to divide, from 0 to 1, has one daughter.",
        ge=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    reconnect: int = Field(
        0,
        title="Reconnect within (frames)",
        description="Join tracks that end with tracks that begin up to this many frames later at "
        "about the same place, if they look alike: for cells that fade for long. 0 joins none; "
        "the paper took 200 for neurons.",
        ge=0,
        le=10_000,
        json_schema_extra={"advanced": True},
    )
    block: int | None = Field(
        None,
        title="Block size (pixels)",
        description="Frames are computed in overlapping blocks of this width and height; by "
        "memory if left out.",
        ge=128,
        le=8192,
        json_schema_extra={"advanced": True, "left_out": "by memory"},
    )


def needs_segmentation(params: CellectParams) -> bool:
    """Whether the cells of an earlier segmentation are linked."""
    return params.cells == "segmented"


def channels_read(fov: Fov, params: CellectParams) -> list[str]:
    """Return the channel that the network sees.

    Raises
    ------
    InvalidInput
        If it is not clear which.
    """
    return [_channel(fov, params)]


def _channel(fov: Fov, params: CellectParams) -> str:
    if params.channel:
        fov.find(params.channel)
        return params.channel
    preset = None if params.weights else _preset(params)
    trained = str(preset.settings.get("source_channel", "")) if preset is not None else ""
    if not preset:
        trained = _said_channel(params.weights)
    if trained in fov.channels:
        return trained
    found = named_after("nuclei", fov.channels) or (
        fov.channels[0] if len(fov.channels) == 1 else None
    )
    if found is None:
        named = f" (it was trained on {trained})" if trained else ""
        raise InvalidInput(
            f"Choose the channel that CELLECT is to see{named} with channel=: FOV {fov.name} has "
            f"{', '.join(fov.channels)}."
        )
    return found


def _said_channel(weights: str) -> str:
    """Return the channel that a file of weights says it was trained on."""
    from pathlib import Path

    from napari_dynaclr.core.weight_files import about_weights, check_whole

    path = Path(weights).expanduser()
    check_whole(path)  # lest the channel be told to be what is wrong
    return str(about_weights(path).get("source_channel", ""))


def _preset(params: CellectParams) -> Preset | None:
    return None if params.preset == "none" else find_preset(params.preset, "track")


class _Running:
    """The network of a run, loaded when the first FOV needs it."""

    def __init__(self, weights: Weights, params: CellectParams, device: Device, job: Job) -> None:
        self._file, self._params, self._device = weights, params, device
        self._engine: Engine | None = None
        self._job = job
        self.weights = weights.sha256
        """Hash of the file of weights."""

    def link(self, movie: Movie, job: Job) -> Linked:
        """Link the cells of a FOV."""
        if self._engine is None:
            job.report("load the network")
            self._engine = in_background(self._load, job)
            for line in self._engine.told:
                job.note(line)
        return self._engine.link(movie, _channel(movie.fov, self._params), job)

    def _load(self) -> Engine:
        from napari_dynaclr.tracking.cellect.checkpoint import load_cellect
        from napari_dynaclr.tracking.cellect.engine import Engine

        return Engine(load_cellect(self._file.path), self._params, self._device)

    def close(self) -> None:
        """Let go of the network."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None


@contextmanager
def opened(dataset: Dataset, params: CellectParams, job: Job) -> Iterator[_Running]:
    """Hold the network over all FOVs of a run.

    Parameters
    ----------
    dataset
        Of which channels are looked for, before anything is loaded.
    params
        Settings.
    job
        Takes notes.

    Raises
    ------
    InvalidInput
        If the weights cannot be had, or are not CELLECT's, or there is no such channel.
    MissingExtra
        If torch is not installed.
    """
    require_networks()
    for fov in dataset.fovs:
        _channel(fov, params)
    weights = _weights(params, job)
    for line in weights.told:
        job.note(line)
    device = in_background(lambda: choose_device(Device(params.device)), job)
    with device_memory(device):
        running = _Running(weights, params, device, job)
        try:
            yield running
        finally:
            running.close()


def _weights(params: CellectParams, job: Job) -> Weights:
    if params.weights:
        return local_weights(params.weights, job)
    preset = _preset(params)
    if preset is None:
        raise InvalidInput(
            "Name a weights file of CELLECT with weights=, or take the network that comes along "
            "(preset=simulated-tracker)."
        )
    return get_weights(preset, job)
