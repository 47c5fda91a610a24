"""What a network for virtual staining is to be trained on and as: from settings, images, start."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_dynaclr.core.channels import PREDICTION, is_label_free, named_after, prediction_of
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.weights import PRESETS, Weights, find_preset, get_weights, local_weights
from napari_dynaclr.learning.augment import ChannelAugmentation, Ranges, deep_side, wide_side
from napari_dynaclr.staining.architecture import StainerConfig
from napari_dynaclr.staining.checkpoint import LoadedStainer, load_network
from napari_dynaclr.staining.recipe import Recipe
from napari_dynaclr.staining.training.images import Channels, Scaling
from napari_dynaclr.staining.training.masked import MaskedParams
from napari_dynaclr.staining.training.paired import PairedParams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.staining.training.images import Kind
    from napari_dynaclr.staining.training.params import ImageTrainingParams

SHAPES: Mapping[str, StainerConfig] = {
    "fcmae_mini": StainerConfig(dims=(16, 32, 64, 128), blocks=(2, 2, 2, 2), decoder_blocks=1),
    "fcmae": StainerConfig(),
    "unext2": StainerConfig("unext2", depth=5, stem=(5, 4, 4)),
}
"""Networks by the setting ``architecture``; depth, stem and channels are fitted to the images."""

_DEPTHS = {"fcmae_mini": 5, "fcmae": 15, "unext2": 5}
_SIDES = {True: 128, False: 256}
_SMALL = 96
"""Features of the first stage; networks with fewer are for laptops."""

_STEMS = (5, 7, 4, 3, 2)
"""Slices that a stem may take at a time, those of the published networks first."""

STRONG = Ranges(
    zoom=0.3, shear=(-0.05, 0.05), flip=0.5, zoom_z=0.2, gamma=(0.8, 1.2), blur=(0.25, 0.75)
)
"""Augmentation of cytoland.txt, Data Augmentations, of single slices (VSCyto2D)."""

_STACKS = replace(STRONG, flip=0.0)
"""Of stacks, which the paper does not reflect."""

NONE = Ranges(
    zoom=0, rotation=0, shear=(0, 0), affine=0, contrast=0, intensity=0, blur=(0, 0), noisy=0
)

SOURCE = ChannelAugmentation(intensity=0.5, noise=0.3)
"""Of the label-free channel."""


@dataclass(frozen=True)
class Start:
    """What a training starts from: a network, stainer or pre-trained, or nothing."""

    loaded: LoadedStainer | None = None
    recipe: Recipe = field(default_factory=Recipe)
    sha256: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """What is trained, on what.

    Attributes
    ----------
    config
        Shape of the network.
    side
        Side of the patches that it sees, in pixels.
    channels
        What is read.
    crop
        (Z, Y, X) of what patches are cut from, rotated.
    ranges
        Of the augmentation.
    recipe
        What staining with the network has to know.
    told
        What the user should know, a sentence each.
    """

    config: StainerConfig
    side: int
    channels: Channels
    crop: tuple[int, int, int]
    ranges: Ranges
    recipe: Recipe
    told: tuple[str, ...]


def find_start(start_from: str, job: Job) -> Start:
    """Load the network that a training starts from, if any.

    Raises
    ------
    InvalidInput
        If it cannot be had.
    """
    if not start_from:
        return Start()
    known: Mapping[str, object] = {}
    if start_from in PRESETS:
        preset = find_preset(start_from, "stain")
        known = preset.settings
        weights: Weights = get_weights(preset, job)
    else:
        weights = local_weights(start_from, job)
    loaded = load_network(weights.path, known)
    for line in (*weights.told, *loaded.told):
        job.note(line)
    recipe = Recipe.of(loaded.about, str(weights.path)).over(Recipe.of(known, start_from))
    return Start(loaded, recipe, (weights.sha256,))


def settle(datasets: Sequence[Dataset], params: ImageTrainingParams, start: Start) -> Setting:
    """Settle what is trained: settings before the start's own before what suits the images.

    Raises
    ------
    InvalidInput
        If settings, start and images do not fit together.
    """
    channels = _channels(datasets, params, start.recipe)
    config, given = _config(datasets, params, start, len(channels.targets))
    side = _side(datasets, params, config)
    ranges = (STRONG if config.depth == 1 else _STACKS) if params.augment else NONE
    slices = _least(datasets, 0)
    wide = wide_side(side, ranges) if params.augment else side
    crop = (min(deep_side(config.depth, ranges), slices), wide, wide)
    scale = datasets[0].fovs[0].scale
    recipe = Recipe(
        source_channels=(channels.source,),
        target_channels=tuple(prediction_of(name) for name in channels.targets) or None,
        normalization=channels.scaling.kind,
        statistics=channels.scaling.level,
        voxel_size=(None if config.depth == 1 else scale[0], scale[1], scale[2]),
        patch_size=side,
    )
    told = [_tell(channels, config, side), *given]
    if min(_least(datasets, 1), _least(datasets, 2)) < crop[1]:
        told.append(
            f"Rotated patches are cut from {crop[1]} x {crop[2]} pixels: smaller images are "
            "continued by reflection."
        )
    return Setting(config, side, channels, crop, ranges, recipe, tuple(told))


def _tell(channels: Channels, config: StainerConfig, side: int) -> str:
    stains = f" to {', '.join(channels.targets)} ({channels.target_scaling.kind})"
    return (
        f"Learning from {channels.source} ({channels.scaling.kind})"
        f"{stains if channels.targets else ''}, in patches of {config.depth} x {side} x {side}."
    )


def _least(datasets: Sequence[Dataset], axis: int) -> int:
    """Smallest extent of all FOVs along z, y or x."""
    return min(fov.shape[1 + axis] for dataset in datasets for fov in dataset.fovs)


# -- channels -----------------------------------------------------------------


def _channels(datasets: Sequence[Dataset], params: ImageTrainingParams, recipe: Recipe) -> Channels:
    there = [name for name in datasets[0].source_channels if not name.endswith(PREDICTION)]
    source = params.source or _source(there, recipe)
    labels = [name for name in there if name != source]
    targets: tuple[str, ...] = ()
    scaling = Scaling(
        params.normalization or _kind(recipe), params.level or recipe.statistics or "fov"
    )
    target_scaling, equalize = scaling, False
    if isinstance(params, PairedParams):
        targets = params.targets or _targets(labels)
        target_scaling = Scaling(params.target_normalization, scaling.level)
        equalize = params.clahe
    if source in targets:
        raise InvalidInput(f"{source} is the label-free channel: choose others to be stained.")
    if len(set(targets)) < len(targets):
        raise InvalidInput(f"A channel is named twice: {', '.join(targets)}.")
    for dataset in datasets:
        for name in (source, *targets):
            if name not in dataset.channels:
                raise InvalidInput(
                    f"{dataset.root} has no channel '{name}': choose the channels to learn from "
                    f"among {', '.join(dataset.channels)}."
                )
        for name in targets:
            if name.endswith(PREDICTION) or name not in dataset.source_channels:
                raise InvalidInput(
                    f"{name} is a virtual stain, not a label: choose fluorescence channels to "
                    f"be stained (targets), among {', '.join(labels)}."
                )
    return Channels(source, targets, scaling, target_scaling, equalize)


def _kind(recipe: Recipe) -> Kind:
    return "median-iqr" if recipe.normalization == "median-iqr" else "mean-std"


def _source(there: Sequence[str], recipe: Recipe) -> str:
    known = recipe.source_channels or ()
    found = [name for name in there if name in known] or [n for n in there if is_label_free(n)]
    if len(found) != 1:
        raise InvalidInput(
            f"Choose the label-free channel to learn from (source), among {', '.join(there)}."
        )
    return found[0]


def _targets(there: Sequence[str]) -> tuple[str, ...]:
    found = [named_after("nuclei", there), named_after("membrane", there)]
    named = tuple(dict.fromkeys(name for name in found if name))
    if not named:
        raise InvalidInput(
            f"Choose the fluorescence channels to be stained (targets), among {', '.join(there)}."
        )
    return named


# -- shape --------------------------------------------------------------------


def _config(
    datasets: Sequence[Dataset], params: ImageTrainingParams, start: Start, targets: int
) -> tuple[StainerConfig, list[str]]:
    slices = _least(datasets, 0)
    if start.loaded is not None:
        config = _started(start.loaded.network.config, params, targets)
        told = [f"The network is that of {getattr(params, 'start_from', '')}."]
    else:
        config, told = _fresh(params, slices, targets), []
    if config.depth > slices:
        raise InvalidInput(
            f"The network takes {config.depth} slices, but there are images with {slices}: choose "
            "a smaller depth, or 1 for each slice by itself."
            if start.loaded is None
            else f"{getattr(params, 'start_from', '')} takes {config.depth} slices, but there are "
            f"images with {slices}: choose another network to start from."
        )
    return config, told


def _fresh(params: ImageTrainingParams, slices: int, targets: int) -> StainerConfig:
    name: str = getattr(params, "architecture")  # noqa: B009 both kinds of settings have one
    shape = SHAPES[name]
    depth = params.depth or min(slices, _DEPTHS[name])
    masked = isinstance(params, MaskedParams)
    flat = 2 if depth == 1 and shape.kind == "fcmae" else 4
    return replace(
        shape,
        out_channels=1 if masked else targets,
        depth=depth,
        out_depth=0,
        stem=(_stem(depth, shape.dims[0]), flat, flat),
        decoder_blocks=1 if masked else shape.decoder_blocks,
        pretraining=masked,
    )


def _stem(depth: int, width: int) -> int:
    """Slices that the stem takes at a time: its levels must share out the features evenly."""
    for size in _STEMS:
        if depth % size == 0 and width % (depth // size) == 0:
            return size
    return depth


def _started(config: StainerConfig, params: ImageTrainingParams, targets: int) -> StainerConfig:
    start_from = getattr(params, "start_from", "")
    if params.depth not in (None, config.depth):
        raise InvalidInput(
            f"{start_from} takes {config.depth} slices, not {params.depth}: leave the depth out."
        )
    if config.in_channels != 1:
        raise InvalidInput(
            f"{start_from} takes {config.in_channels} channels: choose a network that takes one."
        )
    if config.pretraining:
        blocks = 1 if config.dims[0] < _SMALL else 2
        return replace(config, out_channels=targets, decoder_blocks=blocks, pretraining=False)
    if config.out_channels != targets:
        raise InvalidInput(
            f"{start_from} stains {config.out_channels} channels, {targets} are chosen: choose "
            f"{config.out_channels}, in the order that it was trained with."
        )
    return config


def _side(datasets: Sequence[Dataset], params: ImageTrainingParams, config: StainerConfig) -> int:
    step = least_side = config.stride
    if isinstance(params, MaskedParams):
        step = mask_stride(config)
        least_side = 2 * step  # of one square, no part can be hidden
    least = min(_least(datasets, 1), _least(datasets, 2))
    side = params.patch_size
    if side is None:
        wanted = _SIDES[config.dims[0] < _SMALL]
        side = min(wanted, least // step * step)
        if side < least_side:
            raise InvalidInput(
                f"There are images of {least} pixels: the network needs {least_side} at least."
            )
    if side % step:
        raise InvalidInput(
            f"A patch_size of {side} does not suit the network: choose a multiple of {step}, such "
            f"as {max(side // step, 1) * step}."
        )
    if side < least_side:
        raise InvalidInput(
            f"A patch_size of {side} is a single square of those that are hidden, and mask_ratio "
            f"a part of none: choose a patch_size of {least_side} or more."
        )
    if side > least:
        raise InvalidInput(
            f"A patch_size of {side} is larger than the images, of which some are {least} pixels "
            "wide or high: choose a smaller one."
        )
    return side


def mask_stride(config: StainerConfig) -> int:
    """Side of the squares that are hidden: 32 pixels, in whole pixels of the deepest stage."""
    return math.lcm(32, config.stride)
