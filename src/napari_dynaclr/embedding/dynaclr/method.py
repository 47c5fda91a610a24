"""Embedding with a DynaCLR encoder: its settings, and what makes it ready for a run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import Field, field_validator

from napari_dynaclr.core.device import require_networks
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.weights import PRESETS, Weights, find_preset, get_weights, local_weights
from napari_dynaclr.embedding.dynaclr.recipe import Recipe, choose_channels, make_window
from napari_dynaclr.embedding.networks import NetworkParams, Prepared, open_network
from napari_dynaclr.embedding.scaling import MODES, Mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.weights import Preset
    from napari_dynaclr.embedding import Embedder
    from napari_dynaclr.embedding.dynaclr.architecture import EncoderConfig


class DynaclrParams(NetworkParams):
    """Settings of the embedding with a DynaCLR encoder."""

    preset: Literal["auto", "DynaCLR-DENV-VS+Ph", "simulated-infection", "none"] = Field(
        "auto",
        title="Encoder",
        description="Published encoder, downloaded on first use, or the small one for the "
        "simulated sample; auto takes the small one for the sample and the published one for "
        "all else, none is for weights of your own.",
    )
    weights: str = Field(
        "",
        title="Weights file",
        description="Your own weights (.ckpt, .pt, .safetensors), or the encoder's checkpoint if "
        "you have it already.",
        json_schema_extra={
            "path": "file",
            "filter": "Weights (*.ckpt *.pt *.pth *.safetensors)",
            "choices": "encoders",
        },
    )
    channels: tuple[str, ...] = Field(
        (),
        title="Channels",
        description="Channels that the encoder sees, in its order; those that it was trained "
        "with if none is named.",
        json_schema_extra={
            "choices": "channels",
            "ordered": True,
            "left_out": "those it was trained with",
        },
    )
    z_start: int | None = Field(
        None,
        title="First slice",
        description="First slice of the patches; the encoder's own if left out, else the middle "
        "of the stack.",
        ge=0,
        json_schema_extra={"advanced": True},
    )
    depth: int | None = Field(
        None,
        title="Slices",
        description="Slices that the encoder takes; read off the weights if left out.",
        ge=1,
        json_schema_extra={"advanced": True},
    )
    patch_size: int | None = Field(
        None,
        title="Patch size (pixels)",
        description="Width and height of the patches; the encoder's own if left out.",
        ge=32,
        le=1024,
        json_schema_extra={"left_out": "the encoder's own"},
    )
    normalization: tuple[str, ...] = Field(
        (),
        title="Normalisation",
        description="One for all channels, or one each; the encoder's own if left out. "
        + "; ".join(f"{mode}: {text}" for mode, text in MODES.items())
        + ".",
        json_schema_extra={"values": list(MODES), "left_out": "the encoder's own"},
    )

    @field_validator("normalization")
    @classmethod
    def _known(cls, modes: tuple[str, ...]) -> tuple[str, ...]:
        for mode in modes:
            if mode not in get_args(Mode):
                raise ValueError(f"there is no '{mode}': choose {', '.join(get_args(Mode))}")
        return modes


@contextmanager
def open_embedder(dataset: Dataset, params: DynaclrParams, job: Job) -> Iterator[Embedder]:
    """Make ready for a run: fetch the weights, and load them when the first FOV needs them.

    Raises
    ------
    InvalidInput
        If the weights cannot be had, are not those of an encoder, or do not fit the
        images or settings.
    MissingExtra
        If torch is not installed.
    """
    require_networks()
    preset = _find(params, dataset)
    if preset is not None and not params.weights:
        # Before they are downloaded, as nobody needs weights that do not fit.
        trained = preset.settings["source_channels"]
        choose_channels(params.channels or trained, len(trained), dataset.channels)
    weights = _weights(preset, params.weights, job)
    known = () if params.weights or preset is None else tuple(preset.settings["source_channels"])

    def prepare() -> Prepared:
        return _prepare(dataset, params, preset, weights)

    with open_network(dataset, weights, params, prepare, job, params.channels or known) as embedder:
        yield embedder


def _find(params: DynaclrParams, dataset: Dataset) -> Preset | None:
    if params.preset == "none":
        return None
    if params.preset != "auto":
        return find_preset(params.preset, "embed")
    known = [preset for preset in PRESETS.values() if preset.use == "embed"]
    # The sample's own encoder is for the sample: a plate that shares two names is not one.
    sample = tuple(dataset.source_channels)
    mine = [one for one in known if one.settings.get("sample_channels") == sample]
    return mine[0] if mine and not params.weights else known[0]


def _weights(preset: Preset | None, file: str, job: Job) -> Weights:
    if file:
        return local_weights(file, job)
    if preset is None:
        raise InvalidInput("Name a weights file, or choose a published encoder as preset.")
    return get_weights(preset, job)


def _prepare(
    dataset: Dataset, params: DynaclrParams, preset: Preset | None, weights: Weights
) -> Prepared:
    """Load the network, and settle its patches: settings before its own file before the preset."""
    from napari_dynaclr.embedding.dynaclr.checkpoint import load_encoder

    loaded = load_encoder(weights.path, params.depth)
    config, told = loaded.network.config, list(loaded.told)
    chosen = Recipe(
        source_channels=params.channels or None,
        z_start=params.z_start,
        patch_size=params.patch_size,
        normalization=params.normalization or None,
    )
    if loaded.about:
        recipe = chosen.over(Recipe.of(loaded.about, str(weights.path)))
    elif preset is not None:
        _refuse_other(preset, config, weights)
        recipe = chosen.over(Recipe.of(preset.settings, preset.name))
        if params.weights:
            told.append(
                f"{weights.path.name} is used as {preset.name}, patches and normalisation "
                "included: set the preset to none if it is another encoder."
            )
    else:
        recipe = chosen
    window, how = make_window(recipe, config, dataset, params.empty_frames == "skip")
    told += how
    size = " x ".join(map(str, window.size))
    each = ", ".join(f"{c} ({m})" for c, m in zip(window.channels, window.modes, strict=True))
    told.append(f"Patches of {size} pixels, from {each}.")
    return Prepared(loaded.network, window, config.embedding, weights.path.stem, tuple(told))


def _refuse_other(preset: Preset, config: EncoderConfig, weights: Weights) -> None:
    """Refuse weights that are not those of the preset: its recipe would not be theirs."""
    same = config.backbone == preset.network
    same &= config.channels == len(preset.settings["source_channels"])
    same &= (
        config.kernel[0] <= preset.settings["depth"]
        and (preset.settings["depth"] - config.kernel[0]) // config.stride[0] + 1 == config.levels
    )
    if not same:
        raise InvalidInput(
            f"{weights.path} is not {preset.name}, but {config.describe()}: set the preset to "
            "none, and the patch size and normalisation to those of its training."
        )
