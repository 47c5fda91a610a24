"""The embeddings that are compared, and how each comes to be there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_dynaclr.comparison.params import ENCODERS, SHARED
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.registry import params as settings
from napari_dynaclr.core.weights import find_preset, get_weights, local_weights
from napari_dynaclr.embedding import embed
from napari_dynaclr.learning import train

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_dynaclr.comparison.params import CompareParams
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job

FEATURES = "features"
_LOSSES = {"nt-xent": "NT-Xent", "triplet": "triplet"}


@dataclass(frozen=True)
class Candidate:
    """One row of the table.

    Attributes
    ----------
    embedding
        Name of its embedding, and of its weights.
    title
        What it is called in the table, as in the paper's Table 4.
    make
        Trains it if it has to be, and embeds all cells; what is there under the same
        settings is not made again.
    standardize
        Whether its dimensions have different units.
    """

    embedding: str
    title: str
    make: Callable[[Dataset, CompareParams, tuple[str, ...], Job], None]
    standardize: bool = False


def candidates(
    dataset: Dataset, params: CompareParams, job: Job
) -> tuple[list[Candidate], list[str]]:
    """List what is to be compared, and say what is left out because it cannot be had."""
    left_out: list[str] = []
    found = [_encoder(name, params.named(name)) for name in params.encoders]
    if "imagenet" in params.baselines:
        try:
            weights = (
                local_weights(params.imagenet_weights, job)
                if params.imagenet_weights
                else get_weights(find_preset("ConvNeXt-Tiny-ImageNet", "imagenet"), job)
            )
        except InvalidInput as error:
            if params.imagenet_weights:
                raise
            left_out.append(f"ImageNet is left out: {error}")
            job.note(left_out[-1])
        else:
            for line in weights.told:
                job.note(line)
            channels = imagenet_channels(dataset, params)
            title = f"ImageNet pretrained ({', '.join(channels)})"
            # Not "imagenet", as the user's own embedding is called.
            name = params.named("imagenet-convnext")
            found.append(Candidate(name, title, _imagenet(str(weights.path), name, channels)))
    if "features" in params.baselines:
        found.append(Candidate(FEATURES, "Engineered features", _features, standardize=True))
    if not found:
        raise InvalidInput("There is nothing to compare: name encoders or baselines.")
    return found, left_out


def _encoder(way: str, name: str) -> Candidate:
    strategy, loss = ENCODERS[way]

    def make(dataset: Dataset, params: CompareParams, held_out: tuple[str, ...], job: Job) -> None:
        shared = {one: getattr(params, one) for one in SHARED}
        learnable = [fov for fov in dataset.fov_names if fov not in held_out]
        how = settings("train", "dynaclr", name=name, strategy=strategy, loss=loss, **shared)
        train(dataset.select(learnable), how, job)
        weights = dataset.workspace.trained(name)
        device = {"device": params.device, "precision": params.precision}
        ours = settings(
            "embed", "dynaclr", preset="none", weights=str(weights), name=name, **device
        )
        embed(dataset, ours, job)

    return Candidate(name, f"{strategy.capitalize()} + {_LOSSES[loss]}", make)


def imagenet_channels(dataset: Dataset, params: CompareParams) -> tuple[str, ...]:
    """Channels that ImageNet's network sees: those chosen, or the last one of the encoders'."""
    seen = params.channels or tuple(dataset.source_channels)
    return params.imagenet_channels or seen[-1:]


def _imagenet(
    weights: str, name: str, channels: tuple[str, ...]
) -> Callable[[Dataset, CompareParams, tuple[str, ...], Job], None]:
    def make(dataset: Dataset, params: CompareParams, _held_out: tuple[str, ...], job: Job) -> None:
        how = settings(
            "embed",
            "imagenet",
            weights=weights,
            name=name,
            channels=channels,
            patch_size=params.patch_size,
            z_start=params.z_start,
            device=params.device,
            precision=params.precision,
        )
        embed(dataset, how, job)

    return make


def _features(
    dataset: Dataset, _params: CompareParams, _held_out: tuple[str, ...], job: Job
) -> None:
    """Take the features that are there, whatever their settings; compute them if they are not."""
    result, workspace = f"embeddings.{FEATURES}", dataset.workspace
    missing = [
        fov.name
        for fov in dataset.fovs
        if workspace.key(result, fov) is None or workspace.outdated(result, fov)
    ]
    if missing:
        embed(dataset.select(missing), settings("embed", "features"), job)
