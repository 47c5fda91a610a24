"""What an encoder is to be trained on and as: from the settings, the images, and its start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from napari_dynaclr.core.channels import is_label_free
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.weights import PRESETS, Weights, find_preset, get_weights, local_weights
from napari_dynaclr.embedding.cell_patches import Window
from napari_dynaclr.embedding.dynaclr.architecture import EncoderConfig
from napari_dynaclr.embedding.dynaclr.checkpoint import LoadedEncoder, load_encoder
from napari_dynaclr.embedding.dynaclr.recipe import Recipe
from napari_dynaclr.embedding.training.pairs import frames_of
from napari_dynaclr.learning.augment import FLUORESCENCE, LABEL_FREE, wide_side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.scaling import Mode
    from napari_dynaclr.embedding.training.contrastive import ContrastiveParams
    from napari_dynaclr.learning.augment import ChannelAugmentation

_SIDE = 64


@dataclass(frozen=True)
class Start:
    """What a training starts from: an encoder, or nothing."""

    encoder: LoadedEncoder | None = None
    recipe: Recipe = field(default_factory=Recipe)
    sha256: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """What is trained, on what.

    Attributes
    ----------
    config
        Shape of the encoder.
    side
        Side of the patches that it sees, in pixels.
    window
        The wider patches that these are cut from, rotated.
    augmentations
        One per channel.
    tau
        Time offset in frames, by number of the dataset.
    told
        What the user should know, a sentence each.
    """

    config: EncoderConfig
    side: int
    window: Window
    augmentations: tuple[ChannelAugmentation, ...]
    tau: dict[int, int]
    told: tuple[str, ...]

    @property
    def recipe(self) -> Recipe:
        """What an embedding with the encoder has to know."""
        return Recipe(
            source_channels=self.window.channels,
            z_start=self.window.z_start,
            patch_size=self.side,
            normalization=self.window.modes,
        )


def find_start(params: ContrastiveParams, job: Job) -> Start:
    """Load the encoder that a training starts from, if any.

    Raises
    ------
    InvalidInput
        If it cannot be had.
    """
    if not params.start_from:
        return Start()
    preset = None
    if params.start_from in PRESETS:
        preset = find_preset(params.start_from, "embed")
        weights: Weights = get_weights(preset, job)
    else:
        weights = local_weights(params.start_from, job)
    for line in weights.told:
        job.note(line)
    loaded = load_encoder(weights.path, params.depth)
    for line in loaded.told:
        job.note(line)
    recipe = Recipe.of(loaded.about, str(weights.path))
    if preset is not None:
        recipe = recipe.over(Recipe.of(preset.settings, preset.name))
    return Start(loaded, recipe, (weights.sha256,))


def settle(datasets: Sequence[Dataset], params: ContrastiveParams, start: Start) -> Setting:
    """Settle what is trained: settings before the start's own before what suits the images.

    Raises
    ------
    InvalidInput
        If settings, start and images do not fit together.
    """
    told: list[str] = []
    _require_known(params, start)
    channels = params.channels or start.recipe.source_channels or tuple(datasets[0].source_channels)
    for dataset in datasets:
        missing = [one for one in channels if one not in dataset.channels]
        if missing:
            raise InvalidInput(
                f"{dataset.root} has no channel '{missing[0]}': choose the channels to learn from "
                f"among {', '.join(dataset.channels)}."
            )
    config = _config(datasets, params, start, len(channels))
    side = params.patch_size or start.recipe.patch_size or _SIDE
    gentle = [
        one in params.label_free if params.label_free else is_label_free(one) for one in channels
    ]
    modes = _modes(params, start, gentle)
    z_start = params.z_start if params.z_start is not None else start.recipe.z_start
    wide = wide_side(side)
    window = Window(
        channels=channels,
        size=(config.depth, wide, wide),
        z_start=z_start,
        modes=modes,
        border="pad" if params.border == "reflect" else "clamp",
        inner=side,
    )
    how = [
        f"{name} ({mode}, augmented as {'label-free' if soft else 'fluorescence'})"
        for name, mode, soft in zip(channels, modes, gentle, strict=True)
    ]
    told.append(f"Learning from {', '.join(how)}, in patches of {config.depth} x {side} x {side}.")
    slices = min((fov.shape[1] for dataset in datasets for fov in dataset.fovs), default=1)
    if params.depth is None and start.encoder is None and config.depth < slices:
        told.append(
            f"{config.depth} of {slices} slices are used: as many as suit {config.backbone}."
        )
    return Setting(
        config,
        side,
        window,
        tuple(LABEL_FREE if soft else FLUORESCENCE for soft in gentle),
        _offsets(datasets, params),
        tuple(told),
    )


def _require_known(params: ContrastiveParams, start: Start) -> None:
    """Ask for what a foreign encoder does not say of itself.

    Raises
    ------
    InvalidInput
        If it is not given.
    """
    if start.encoder is None:
        return
    for name, what in (("patch_size", "how large its patches were"),
                       ("normalization", "how its images were normalised")):  # fmt: skip
        if not getattr(params, name) and not getattr(start.recipe, name):
            raise InvalidInput(f"{params.start_from} does not say {what}: set {name}.")


def _config(
    datasets: Sequence[Dataset], params: ContrastiveParams, start: Start, channels: int
) -> EncoderConfig:
    if start.encoder is not None:
        config = start.encoder.network.config
        if config.channels != channels:
            raise InvalidInput(
                f"{params.start_from} takes {config.channels} channels, {channels} are chosen: "
                f"choose {config.channels}, in the order that it was trained with."
            )
        return config
    slices = min(fov.shape[1] for dataset in datasets for fov in dataset.fovs)
    if params.depth is not None:
        return _shape(params.backbone, channels, params.depth)
    for depth in range(slices, 1, -1):
        try:
            return _shape(params.backbone, channels, depth)
        except InvalidInput:  # not every depth can be spread over the backbone's channels
            continue
    return _shape(params.backbone, channels, 1)


def _shape(backbone: str, channels: int, depth: int) -> EncoderConfig:
    """Shape of an encoder with the stem of A.1 for stacks or single slices."""
    stem = (1 if depth == 1 else 5, 4, 4)
    return EncoderConfig(backbone, channels, depth, kernel=stem, stride=stem)


def _modes(params: ContrastiveParams, start: Start, gentle: list[bool]) -> tuple[Mode, ...]:
    given = params.normalization or start.recipe.normalization
    if not given:
        return tuple("mean-std" if soft else "cell-percentiles" for soft in gentle)
    if len(given) not in (1, len(gentle)):
        raise InvalidInput(
            f"There are {len(given)} normalisations for {len(gentle)} channels: give one for all, "
            "or one each."
        )
    whole = tuple(given) * (len(gentle) if len(given) == 1 else 1)
    return cast("tuple[Mode, ...]", whole)


def _offsets(datasets: Sequence[Dataset], params: ContrastiveParams) -> dict[int, int]:
    """Time offset of each dataset in frames."""
    found = {}
    for number, dataset in enumerate(datasets):
        intervals = {fov.frame_interval for fov in dataset.fovs} or {None}
        if params.tau_unit == "min" and len(intervals) > 1:
            raise InvalidInput(
                f"{dataset.root.name}: its FOVs have different frame intervals: choose those of "
                "one (--fov), or give tau in frames."
            )
        seconds = intervals.pop()
        minutes = seconds / 60 if seconds else None
        try:
            found[number] = frames_of(params.tau, params.tau_unit, minutes)
        except InvalidInput as error:
            if params.strategy == "time-aware":
                raise InvalidInput(f"{dataset.root.name}: {error}") from None
            found[number] = 1
    return found
