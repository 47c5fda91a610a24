"""Embedding of cells with SSLProfiler: its settings, and what makes it ready for a run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from pydantic import Field, JsonValue

from napari_dynaclr.core.device import require_networks
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.weights import find_preset, get_weights, local_weights
from napari_dynaclr.embedding.networks import NetworkParams, Prepared, open_network
from napari_dynaclr.embedding.profiler.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.weights import Preset
    from napari_dynaclr.embedding import Embedder
    from napari_dynaclr.embedding.profiler.plan import Plan
    from napari_dynaclr.embedding.profiler.recipe import Unit

_FILES: dict[str, JsonValue] = {
    "path": "file",
    "filter": "Weights (*.safetensors)",
    "choices": "profilers",
}


class ProfilerSettings(NetworkParams):
    """Settings of whatever represents images with SSLProfiler."""

    weights: str = Field(
        "",
        title="Weights file",
        description="Profiler that 'train' made (method profiler), of fluorescence channels or of "
        "the only ones there are. The paper has published none.",
        json_schema_extra=_FILES,
    )
    label_free_weights: str = Field(
        "",
        title="Label-free weights file",
        description="Profiler of the label-free channels, whose representation is put beside that "
        "of the other one; none if left out.",
        json_schema_extra={**_FILES, "left_out": "none"},
    )
    channels: tuple[str, ...] = Field(
        (),
        title="Channels",
        description="Channels of the profiler, in its order; those that it was trained with if "
        "none is named.",
        json_schema_extra={
            "choices": "channels",
            "ordered": True,
            "advanced": True,
            "left_out": "those it was trained with",
        },
    )
    label_free_channels: tuple[str, ...] = Field(
        (),
        title="Label-free channels",
        description="Those of the label-free profiler; those that it was trained with if none is "
        "named.",
        json_schema_extra={
            "choices": "channels",
            "ordered": True,
            "advanced": True,
            "left_out": "those it was trained with",
        },
    )


class ProfilerParams(ProfilerSettings):
    """Settings of the embedding of cells with SSLProfiler."""

    preset: Literal["simulated-profiler", "none"] = Field(
        "simulated-profiler",
        title="Profiler",
        description="Where no weights file is named: the small profiler that comes along, trained "
        "on simulated cells in fluorescence.",
        json_schema_extra={"advanced": True},
    )


@contextmanager
def open_embedder(dataset: Dataset, params: ProfilerParams, job: Job) -> Iterator[Embedder]:
    """Make ready for a run: load the weights when the first FOV needs them.

    Raises
    ------
    InvalidInput
        If the weights cannot be had, are not those of a profiler of cells, or do not fit the
        images.
    MissingExtra
        If torch is not installed.
    """
    preset = None
    if not params.weights and params.preset != "none":
        preset = find_preset(params.preset, "profile")
        _require_sample(preset, params, dataset)
    with open_profilers(dataset, params, "cell", job, preset) as (embedder, _):
        yield embedder


@contextmanager
def open_profilers(
    dataset: Dataset,
    params: ProfilerSettings,
    unit: Unit,
    job: Job,
    preset: Preset | None = None,
) -> Iterator[tuple[Embedder, Plan]]:
    """Make profilers ready for a run, of cells or of squares of fields.

    Parameters
    ----------
    dataset
        The images.
    params
        Settings.
    unit
        What they must have been trained on.
    job
        Takes notes.
    preset
        Stands in for a weights file that is not named.

    Raises
    ------
    InvalidInput, MissingExtra
        As for :func:`open_embedder`.
    """
    require_networks()
    if params.weights:
        files = [local_weights(params.weights, job)]
    elif preset is not None:
        files = [get_weights(preset, job)]
    else:
        raise InvalidInput(
            "Name the weights file of a profiler: train one first (train --method profiler)."
        )
    if params.label_free_weights:
        files.append(local_weights(params.label_free_weights, job))
    chosen = (params.channels, params.label_free_channels)[: len(files)]
    allow_empty = params.empty_frames == "skip"
    plan = make_plan([file.path for file in files], chosen, dataset, unit, allow_empty=allow_empty)

    def prepare() -> Prepared:
        from napari_dynaclr.embedding.profiler.checkpoint import load_profiler
        from napari_dynaclr.embedding.profiler.sight import Sight

        sight = Sight([load_profiler(file.path)[0] for file in files], plan.sides)
        name = ", ".join(file.path.stem for file in files)
        return Prepared(sight, plan.window, plan.dimensions, name, plan.told)

    first, *further = files
    seen = plan.window.channels
    with open_network(dataset, first, params, prepare, job, seen, further) as embedder:
        yield embedder, plan


def _require_sample(preset: Preset, params: ProfilerSettings, dataset: Dataset) -> None:
    """Refuse the profiler that comes along for images that are not like those it knows."""
    known = preset.settings["source_channels"]
    if params.channels or set(known) <= set(dataset.channels):
        return
    raise InvalidInput(
        f"No weights file is named, and the profiler that comes along knows {', '.join(known)} of "
        f"the simulated sample; here are {', '.join(dataset.channels)}. Train one of your own "
        "(train --method profiler) and name its weights file."
    )
