"""Embedding with a network, whichever it is: loaded once, run over the patches of all FOVs."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import Field, field_validator

from napari_dynaclr.core.background import in_background
from napari_dynaclr.core.device import Device, choose_device, device_memory
from napari_dynaclr.core.params import ComputeParams, check_name
from napari_dynaclr.embedding import Embedder
from napari_dynaclr.embedding.cell_patches import Window, read_cells

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.weights import Weights
    from napari_dynaclr.embedding import Frames
    from napari_dynaclr.embedding.inference import Inference


class EmbedParams(ComputeParams):
    """Settings of every embedding with a network."""

    name: str = Field(
        "",
        title="Name",
        description="Name of the embedding, to keep several beside each other; that of the method "
        "if left out.",
        json_schema_extra={"advanced": True},
    )
    empty_frames: Literal["error", "skip"] = Field(
        "error",
        title="Empty frames",
        description="Stop at a frame of nothing but zeros or NaN, or embed it as it is.",
        json_schema_extra={"advanced": True},
    )

    @field_validator("name")
    @classmethod
    def _file_name(cls, name: str) -> str:
        return check_name(name) if name else name


class NetworkParams(EmbedParams):
    """Settings of every embedding with a network that sees a patch of each cell."""

    batch_size: int | None = Field(
        None,
        title="Batch size",
        description="Cells computed at a time; found out by memory and time if left out.",
        ge=1,
        le=4096,
        json_schema_extra={"advanced": True, "speed_only": True},
    )


@dataclass(frozen=True)
class Prepared:
    """A network that is ready, and what it is to see.

    Attributes
    ----------
    network
        A torch module, see :class:`~napari_dynaclr.embedding.inference.Inference`.
    window
        Its patches.
    dimensions
        Length of its embedding.
    name
        What it is, for the description of the dimensions.
    told
        What the user should know of how it was prepared, a sentence each.
    """

    network: Any
    window: Window
    dimensions: int
    name: str
    told: tuple[str, ...] = ()


class _Running:
    """The network of a run, loaded when the first FOV needs it."""

    def __init__(
        self, device: Device, params: NetworkParams, prepare: Callable[[], Prepared], job: Job
    ) -> None:
        self._device, self._params, self._prepare, self._job = device, params, prepare, job
        self._prepared: Prepared | None = None
        self._inference: Inference | None = None

    @property
    def prepared(self) -> Prepared:
        if self._prepared is None:
            self._job.report("load the network")
            self._prepared = in_background(self._prepare, self._job)
            for line in self._prepared.told:
                self._job.note(line)
        return self._prepared

    @property
    def inference(self) -> Inference:
        network, params = self.prepared.network, self._params

        def start() -> Inference:
            from napari_dynaclr.embedding.inference import Inference

            return Inference(network, self._device, params.precision, params.batch_size)

        if self._inference is None:
            self._inference = in_background(start, self._job)
        return self._inference

    def close(self) -> None:
        if self._inference is not None:
            self._inference.close()
        self._prepared = self._inference = None


@contextmanager
def open_network(
    dataset: Dataset,
    weights: Weights,
    params: NetworkParams,
    prepare: Callable[[], Prepared],
    job: Job,
    channels: tuple[str, ...] = (),
) -> Iterator[Embedder]:
    """Embed with a network, whose memory is released at the end.

    Parameters
    ----------
    dataset
        The images.
    weights
        The file of weights.
    params
        Where and how to compute.
    prepare
        Loads the network; called when the first FOV needs it, if any does.
    job
        Takes notes.
    channels
        What the network sees, if that is known before it is loaded.
    """
    for line in weights.told:
        job.note(line)
    # torch takes seconds to import.
    device = in_background(lambda: choose_device(Device(params.device)), job)
    with device_memory(device):
        running = _Running(device, params, prepare, job)

        def embed_fov(fov: Fov, tracks: pd.DataFrame, times: Sequence[int], job: Job) -> Frames:
            from napari_dynaclr.embedding.inference import embed_cells

            if not times:
                return
            window = running.prepared.window
            cells = read_cells(dataset, fov, tracks, times, window, job)
            counts = tracks["t"].value_counts()
            expected = {t: int(counts[t]) for t in times}
            yield from embed_cells(cells, running.inference, expected, job)

        def columns(_fov: Fov) -> pd.DataFrame:
            prepared = running.prepared
            names = [f"e{i:03d}" for i in range(prepared.dimensions)]
            texts = [f"component {i} of {prepared.name}" for i in range(prepared.dimensions)]
            return pd.DataFrame({"description": texts}, index=names)

        about = {"weights": weights.path.name, "weights_sha256": weights.sha256}
        try:
            yield Embedder(embed_fov, columns, (weights.sha256,), about, channels)
        finally:
            running.close()
