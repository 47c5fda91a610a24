"""Virtual staining with Cytoland's networks: the settings, and what makes one ready for a run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from napari_dynaclr.core.background import in_background
from napari_dynaclr.core.channels import is_label_free
from napari_dynaclr.core.device import Device, choose_device, device_memory, require_networks
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import ComputeParams
from napari_dynaclr.core.weights import PRESETS, Weights, find_preset, get_weights, local_weights
from napari_dynaclr.staining.intensities import MODES, Mode
from napari_dynaclr.staining.reading import Source
from napari_dynaclr.staining.recipe import Recipe
from napari_dynaclr.staining.stainer import How, Prepared, Stainer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.weights import Preset
    from napari_dynaclr.staining.architecture import StainerConfig
    from napari_dynaclr.staining.feature_maps import FeatureMap
    from napari_dynaclr.staining.inference import Running

_DEEP = 15
"""Slices of a stack from which on "auto" takes the network for stacks."""


class StainParams(ComputeParams):
    """Settings of virtual staining."""

    preset: Literal[
        "auto",
        "VSCyto2D",
        "VSCyto3D",
        "VSCyto3D-UNeXt2",
        "VSNeuromast",
        "simulated-cells",
        "none",
    ] = Field(
        "auto",
        title="Network",
        description="Published network, downloaded on first use: VSCyto2D stains slice by slice, "
        "VSCyto3D stacks of cultured cells, VSNeuromast those of zebrafish; simulated-cells is for "
        "the simulated sample. auto takes that one there, else VSCyto3D "
        f"for stacks of {_DEEP} slices or more and VSCyto2D for all else; none is for weights of "
        "your own.",
    )
    weights: str = Field(
        "",
        title="Weights file",
        description="Your own weights (.ckpt, .pt, .safetensors), or the network's checkpoint if "
        "you have it already.",
        json_schema_extra={
            "path": "file",
            "filter": "Weights (*.ckpt *.pt *.pth *.safetensors)",
            "choices": "stainers",
        },
    )
    channel: str = Field(
        "",
        title="Label-free channel",
        description="Channel to stain from; if empty, the one named after phase, DIC or bright "
        "field.",
        json_schema_extra={"choices": "channels"},
    )
    z_stride: int = Field(
        1,
        title="Z stride",
        # Measured with a network of 15 slices, trained on simulated stacks: docs/staining.md.
        description="Slices from one window to the next along Z, where the network sees stacks. 1 "
        "averages as many predictions of each slice as Cytoland does. Others take fewer windows: "
        "their stain correlated with that of 1 by 0.999 at stride 2, 0.998 at 3, 0.993 at 5 and "
        "0.965 at 15 (15 slices, simulated).",
        ge=1,
        le=100,
        json_schema_extra={"advanced": True},
    )
    resample: bool = Field(
        False,
        title="Resample",
        description="Stain at the voxel size that the network was trained with, and bring the "
        "stain back to that of the images.",
    )
    normalization: Literal["auto", "mean-std", "median-iqr", "percentiles", "none"] = Field(
        "auto",
        title="Normalisation",
        description="auto is the network's own. "
        + "; ".join(f"{mode}: {text}" for mode, text in MODES.items())
        + ".",
        json_schema_extra={"advanced": True},
    )
    statistics: Literal["auto", "fov", "dataset", "timepoint"] = Field(
        "auto",
        title="Statistics of",
        description="What is normalised together; auto is the network's own, else the FOV.",
        json_schema_extra={"advanced": True},
    )
    tta: Literal["none", "mean", "median", "product"] = Field(
        "none",
        title="Turned images",
        description="Stain the image in its four orientations too, for fewer artefacts in four "
        "times the time, and take their mean, median (the lower of the two in the middle), or "
        "product (of what is above 0, so intensities are to the fourth power), as Cytoland does.",
        json_schema_extra={"advanced": True},
    )
    padding: Literal["reflect", "viscy"] = Field(
        "reflect",
        title="Padding",
        description="Continue images to the network's multiple of pixels by reflection, or, to "
        "compare with VisCy, by zeros to the multiple that VisCy takes (up to 256 pixels).",
        json_schema_extra={"advanced": True},
    )
    tile: int | None = Field(
        None,
        title="Tile (pixels)",
        description="Side of the tiles that frames are computed in; found out by memory if left "
        "out, and the whole frame where it fits.",
        ge=32,
        le=65536,
        json_schema_extra={"advanced": True},
    )
    empty_frames: Literal["error", "skip"] = Field(
        "error",
        title="Empty frames",
        description="Stop at a frame of nothing but zeros or NaN, or leave its stain empty, too.",
        json_schema_extra={"advanced": True, "on_failure": True},
    )
    unreadable: Literal["error", "blank"] = Field(
        "error",
        title="Damaged frames",
        description="Frames that cannot be read: finish all others and say which they are, so "
        "that they can be restored and stained later; or leave their stain empty (zeros) until "
        "a run finds them restored.",
        json_schema_extra={"advanced": True, "on_failure": True},
    )
    batch_size: int | None = Field(
        None,
        title="Batch size",
        description="Windows computed at a time; found out by memory if left out.",
        ge=1,
        le=1024,
        json_schema_extra={"advanced": True, "speed_only": True},
    )

    @model_validator(mode="after")
    def _complete(self) -> StainParams:
        if self.preset == "none" and not self.weights:
            raise ValueError("preset none needs a weights file: name it with weights")
        return self


@contextmanager
def open_stainer(dataset: Dataset, params: StainParams, job: Job) -> Iterator[Stainer]:
    """Make ready for a run: fetch the weights, and load them when they are first needed.

    Parameters
    ----------
    dataset
        The images.
    params
        The settings.
    job
        Takes notes.

    Raises
    ------
    InvalidInput
        If the weights cannot be had, are not those of a stainer, or do not fit the images
        or settings.
    MissingExtra
        If torch is not installed.
    """
    require_networks()
    preset = find_network(params.preset, params.weights, dataset)
    if preset is not None and not params.weights:
        # Before they are downloaded, as nobody needs weights that do not fit.
        _channels(Recipe.of(preset.settings, preset.name), params.channel, 1, dataset)
    weights = _weights(preset, params.weights, job)
    for line in weights.told:
        job.note(line)

    def prepare() -> Prepared:
        return _prepare(dataset, params, preset, weights)

    def start() -> tuple[Device, Running]:
        # torch takes seconds to import.
        from napari_dynaclr.staining.inference import Running

        running = Running(params.precision, params.tta, params.tile, params.batch_size)
        return choose_device(Device(params.device)), running

    device, running = in_background(start, job)
    how = How(params.z_stride, params.padding == "viscy", params.resample)
    about = {"weights": weights.path.name, "weights_sha256": weights.sha256}
    with device_memory(device):
        stainer = Stainer(dataset, prepare, how, running, device, (weights.sha256,), about, job)
        try:
            yield stainer
        finally:
            stainer.close()


def frame_maps(
    dataset: Dataset, fov: Fov, t: int, stainer: Stainer, z: int | None, job: Job
) -> dict[str, FeatureMap]:
    """Show what every stage of the network makes of a frame.

    It is :func:`napari_dynaclr.staining.feature_maps.frame_maps`, for those that know the
    method by its name only.
    """
    from napari_dynaclr.staining import feature_maps

    return feature_maps.frame_maps(dataset, fov, t, stainer, z, job)


def find_network(preset: str, weights: str, dataset: Dataset) -> Preset | None:
    """Find which published network some settings mean; None where it is one of the user's own.

    Parameters
    ----------
    preset, weights
        As of :class:`StainParams`; "auto" goes by the images.
    dataset
        The images; of their pixels, nothing is read.

    Raises
    ------
    InvalidInput
        If there is no network of that name.
    """
    if preset == "none":
        return None
    if preset != "auto":
        return find_preset(preset, "stain")
    if weights:
        return None
    # The sample's own network is for the sample: a plate that shares two names is not one.
    sample = tuple(dataset.source_channels)
    known = [preset for preset in PRESETS.values() if preset.use == "stain"]
    mine = [one for one in known if one.settings.get("sample_channels") == sample]
    if mine:
        return mine[0]
    stack = min(fov.shape[1] for fov in dataset.fovs[:1])
    return find_preset("VSCyto3D" if stack >= _DEEP else "VSCyto2D", "stain")


def _weights(preset: Preset | None, file: str, job: Job) -> Weights:
    if file or preset is None:
        return local_weights(file, job)
    return get_weights(preset, job)


def _prepare(
    dataset: Dataset, params: StainParams, preset: Preset | None, weights: Weights
) -> Prepared:
    """Load the network, and settle what it sees: settings before its own file before the preset."""
    from napari_dynaclr.staining.checkpoint import load_stainer

    loaded = load_stainer(weights.path, preset.settings if preset else None)
    config = loaded.network.config
    told = [f"Network: {weights.path.name if params.weights or preset is None else preset.name}."]
    told += loaded.told
    recipe = Recipe()
    if loaded.about:
        recipe = Recipe.of(loaded.about, str(weights.path))
    elif preset is not None:
        _refuse_other(preset, config, weights)
        recipe = Recipe.of(preset.settings, preset.name)
        if params.weights:
            told.append(
                f"{weights.path.name} is used as {preset.name}, normalisation included: set the "
                "preset to none if it is another network."
            )
    channels = _channels(recipe, params.channel, config.in_channels, dataset)
    mode: Mode | None = recipe.normalization
    if params.normalization != "auto":
        mode = params.normalization
    if mode is None:
        raise InvalidInput(
            "The weights do not say how their images were normalised: set normalization, "
            f"to {', '.join(MODES)}."
        )
    level = params.statistics if params.statistics != "auto" else recipe.statistics or "fov"
    names = recipe.names_of(config.out_channels)
    how = "as they are" if mode == "none" else f"{mode} of the {level}"
    told.append(f"{', '.join(names)} from {', '.join(channels)} ({how}).")
    told += _doubts(channels, recipe, params.channel)
    told += _without_effect(dataset, params, config)
    source = Source(channels, mode, level, params.empty_frames == "skip")
    return Prepared(loaded.network, config, source, names, recipe.voxel_size, tuple(told))


def _without_effect(dataset: Dataset, params: StainParams, config: StainerConfig) -> list[str]:
    """Say what of the settings and the images a network makes no use of."""
    slices = max(fov.shape[1] for fov in dataset.fovs)
    found = []
    if config.depth == 1 and slices > 1:
        found.append(
            f"The network sees single slices: each of the {slices} is stained by itself, without "
            "those above and below it."
        )
    if config.depth == 1 and params.z_stride > 1:
        found.append("z_stride has no effect: the network sees single slices.")
    return found


def _channels(recipe: Recipe, chosen: str, count: int, dataset: Dataset) -> tuple[str, ...]:
    """Settle which channels a network sees; those made by staining are none of them.

    Raises
    ------
    InvalidInput
        If it is not clear which they are.
    """
    there = dataset.source_channels
    if chosen and count == 1:
        if chosen not in there:
            raise InvalidInput(
                f"{dataset.root.name} has no channel '{chosen}' to stain from: choose one of "
                f"{', '.join(there)}."
            )
        return (chosen,)
    trained = recipe.source_channels or ()
    if len(trained) == count and set(trained) <= set(there):
        return trained
    free = [one for one in there if is_label_free(one)] or there
    if count == 1 and len(free) == 1:
        return (free[0],)
    if count == 1:
        raise InvalidInput(
            "The names of the channels do not tell which one to stain from: choose the channel "
            f"among {', '.join(there)}."
        )
    named = f" ({', '.join(trained)})" if trained else ""
    raise InvalidInput(
        f"The weights take {count} channels{named}, {dataset.root.name} has {', '.join(there)}: "
        "choose other weights."
    )


def _doubts(channels: tuple[str, ...], recipe: Recipe, chosen: str) -> list[str]:
    """Say so where a channel was only taken because there is no other."""
    if chosen or channels == recipe.source_channels:
        return []
    return [
        f"{channel} is not named like a label-free channel (phase, DIC, bright field): what is "
        "stained from fluorescence means nothing, to a network for label-free images."
        for channel in channels
        if not is_label_free(channel)
    ]


def _refuse_other(preset: Preset, config: StainerConfig, weights: Weights) -> None:
    """Refuse weights that are not those of the preset: its recipe would not be theirs."""
    known = preset.settings
    same = config.kind == preset.network
    same &= config.in_channels == known.get("in_channels", config.in_channels)
    same &= config.out_channels == known.get("out_channels", config.out_channels)
    same &= config.depth == known.get("in_stack_depth", config.depth)
    same &= config.stem == tuple(known.get("stem_kernel_size", config.stem))
    if not same:
        raise InvalidInput(
            f"{weights.path} is not {preset.name}, but {config.describe()}: set the preset to "
            "none, and the normalisation to that of its training."
        )
