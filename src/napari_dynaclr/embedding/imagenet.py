"""ConvNeXt trained on ImageNet: the baseline that the paper compares with (Table 4, Fig. S3)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from napari_dynaclr.core.device import require_networks
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.weights import find_preset, get_weights, local_weights
from napari_dynaclr.embedding.cell_patches import Window
from napari_dynaclr.embedding.networks import NetworkParams, Prepared, open_network
from napari_dynaclr.embedding.scaling import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.weights import Weights
    from napari_dynaclr.embedding import Embedder

_PRESET = "ConvNeXt-Tiny-ImageNet"
_COLOURS = 3
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImagenetParams(NetworkParams):
    """Settings of the embedding with a network trained on ImageNet."""

    channels: tuple[str, ...] = Field(
        (),
        title="Channels",
        description="One channel, shown as grey, or three, shown as red, green and blue; the "
        "dataset's only channel if none is named.",
        json_schema_extra={
            "choices": "channels",
            "ordered": True,
            "left_out": "the only one there is",
        },
    )
    patch_size: int = Field(
        160,
        title="Patch size (pixels)",
        description="Width and height of the patches.",
        ge=32,
        le=1024,
    )
    normalization: Mode = Field(
        "cell-percentiles",
        title="Normalisation",
        description="How every channel is brought to the scale of photographs.",
    )
    z_start: int | None = Field(
        None,
        title="Slice",
        description="Slice to look at; the middle of the stack if left out.",
        ge=0,
    )
    weights: str = Field(
        "",
        title="Weights file",
        description="File of the weights, if you have it already; downloaded on first use if not.",
        json_schema_extra={"path": "file", "filter": "Weights (*.pth *.pt *.safetensors)"},
    )


@contextmanager
def open_embedder(dataset: Dataset, params: ImagenetParams, job: Job) -> Iterator[Embedder]:
    """Make ready for a run: fetch the weights, and load them when the first FOV needs them.

    Raises
    ------
    InvalidInput
        If the weights cannot be had or are others, or neither one nor three channels
        are chosen.
    MissingExtra
        If torch is not installed.
    """
    require_networks()
    channels = params.channels or tuple(dataset.channels)
    if len(channels) not in (1, _COLOURS) or (not params.channels and len(channels) > 1):
        raise InvalidInput(
            "Choose one channel, or three to be shown as red, green and blue, from "
            f"{', '.join(dataset.channels)}."
        )
    preset = find_preset(_PRESET, "imagenet")
    weights: Weights = (
        local_weights(params.weights, job) if params.weights else get_weights(preset, job)
    )

    def prepare() -> Prepared:
        network = load_imagenet(weights.path, len(channels))
        window = Window(
            channels,
            (1, params.patch_size, params.patch_size),
            params.z_start,
            (params.normalization,) * len(channels),
            params.empty_frames == "skip",
        )
        return Prepared(network, window, int(network[-1].num_features), _PRESET)

    with open_network(dataset, weights, params, prepare, job, tuple(channels)) as embedder:
        yield embedder


def load_imagenet(path: Path, channels: int) -> Any:
    """Build the network that embeds patches (N, channels, 1, Y, X) to (N, 768).

    Its first convolution takes over what is done to photographs before: values of 0 to
    1 are brought to ImageNet's mean and deviation, and one channel is shown as grey.

    Parameters
    ----------
    path
        Weights, as timm or ConvNeXt's authors name them.
    channels
        One or three.

    Raises
    ------
    InvalidInput
        If they are those of another network.
    """
    import timm
    import torch
    from timm.models.convnext import checkpoint_filter_fn

    from napari_dynaclr.learning.checkpoint import read_checkpoint

    network = timm.create_model("convnext_tiny", num_classes=0, in_chans=channels)
    try:
        named = checkpoint_filter_fn(read_checkpoint(path).state, network)
        state = {name: value for name, value in named.items() if not name.startswith("head.fc.")}
        weight, bias = state["stem.0.weight"].float(), state["stem.0.bias"].float()
        mean = torch.tensor(_MEAN).view(1, _COLOURS, 1, 1)
        weight = weight / torch.tensor(_DEVIATION).view(1, _COLOURS, 1, 1)
        state["stem.0.bias"] = bias - (weight * mean).sum(dim=(1, 2, 3))
        state["stem.0.weight"] = weight.sum(1, keepdim=True) if channels == 1 else weight
        network.load_state_dict(state, strict=True)
    except (RuntimeError, KeyError):
        raise InvalidInput(
            f"{path} does not hold a ConvNeXt-Tiny: choose its weights, or leave them out."
        ) from None
    return torch.nn.Sequential(torch.nn.Flatten(1, 2), network).eval()
