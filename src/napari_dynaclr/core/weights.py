"""Published weights by name: where they are, what they are, and that they stay the same.

Weights are downloaded once into a cache folder. Their publishers give no checksums:
the sha256 of the first use is recorded there, and every later use is checked against
it (trust on first use). Nothing here unpickles anything.
"""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_dynaclr.core.atomic import write_text
from napari_dynaclr.core.download import download, load_pooch
from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.ledger import now
from napari_dynaclr.core.weight_files import check_whole, sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

_VISCY = "https://public.czbiohub.org/comp.micro/viscy"
_PACKAGED = "package:"
# What viscy-models makes these networks of, under its own names.
_FCMAE = {"in_channels": 1, "out_channels": 2, "encoder_blocks": (3, 3, 9, 3),
          "dims": (96, 192, 384, 768), "decoder_conv_blocks": 2, "pretraining": False}  # fmt: skip
_UNEXT2 = {"in_channels": 1, "out_channels": 2, "backbone": "convnextv2_tiny",
           "decoder_mode": "pixelshuffle", "head_expansion_ratio": 4,
           "head_pool": True}  # fmt: skip
_STAINS = {"target_channels": ("nuclei_prediction", "membrane_prediction"), "statistics": "fov"}


@dataclass(frozen=True)
class Preset:
    """Published weights.

    Attributes
    ----------
    name
        What users call them.
    use
        What they are for: to "embed", "profile" or "track" cells, "stain" images, tell the "arrow"
        of time, or "imagenet".
    url
        Where the file is: an address, or "package:" and its path in this package.
    network
        The architecture.
    settings
        What the network was made with, and what its input has to be; its user knows
        the names.
    """

    name: str
    use: Literal["embed", "profile", "stain", "track", "arrow", "imagenet"]
    url: str
    network: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """Name of the file in the cache."""
        return f"{self.name}{Path(self.url).suffix}"


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "DynaCLR-DENV-VS+Ph",
            "embed",
            f"{_VISCY}/DynaCLR_models/DynaCLR-DENV/VS_n_Ph/epoch=94-step=2375.ckpt",
            "convnext_tiny",
            {
                "source_channels": ("Phase3D", "RFP"),
                "depth": 30,
                "z_start": 15,
                "patch_size": 160,
                "normalization": ("mean-std", "cell-percentiles"),
            },
        ),
        # Trained on a simulated plate by `make weights`.
        Preset(
            "simulated-infection",
            "embed",
            f"{_PACKAGED}sample/encoder.safetensors",
            "convnext_mini",
            {
                "source_channels": ("Phase", "Sensor"),
                "sample_channels": ("Phase", "Nuclei", "Membrane", "Sensor"),
                "depth": 1,
                "z_start": None,
                "patch_size": 64,
                "normalization": ("mean-std", "cell-percentiles"),
            },
        ),
        # Of the stainers, any one label-free channel is the source. Sizes are (z, y, x) um.
        # Trained on a simulated plate by `make weights`.
        Preset(
            "simulated-cells",
            "stain",
            f"{_PACKAGED}sample/stainer.safetensors",
            "fcmae",
            {
                **_STAINS,
                "sample_channels": ("Phase", "Nuclei", "Membrane", "Sensor"),
                "in_channels": 1,
                "out_channels": 2,
                "stem_kernel_size": (1, 2, 2),
                "in_stack_depth": 1,
                "normalization": "mean-std",
                "voxel_size": (None, 0.55, 0.55),
                "patch_size": 128,
            },
        ),
        # Trained on a simulated plate by `make weights`; its file says all else.
        Preset(
            "simulated-tracker",
            "track",
            f"{_PACKAGED}sample/tracker.safetensors",
            "cellect",
            {"source_channel": "Nuclei"},
        ),
        # The same, on its nuclei.
        Preset(
            "simulated-arrow",
            "arrow",
            f"{_PACKAGED}sample/arrow.safetensors",
            "tap",
            {"source_channel": "Nuclei"},
        ),
        # The same, on cells under several treatments.
        Preset(
            "simulated-profiler",
            "profile",
            f"{_PACKAGED}sample/profiler.safetensors",
            "vit_mini",
            {"source_channels": ("Nuclei", "Membrane", "Sensor")},
        ),
        Preset(
            "VSCyto2D",
            "stain",
            f"{_VISCY}/VS_models/VSCyto2D/VSCyto2D/epoch=399-step=23200.ckpt",
            "fcmae",
            {
                **_FCMAE,
                **_STAINS,
                "stem_kernel_size": (1, 2, 2),
                "in_stack_depth": 1,
                "normalization": "mean-std",
                "voxel_size": (None, 0.325, 0.325),
                "patch_size": 256,
            },
        ),
        # Public sources disagree on its normalisation: the paper's is chosen here, but by FOV.
        Preset(
            "VSCyto3D",
            "stain",
            f"{_VISCY}/VS_models/VSCyto3D/epoch=83-step=14532-loss=0.492.ckpt",
            "fcmae",
            {
                **_FCMAE,
                **_STAINS,
                "stem_kernel_size": (5, 4, 4),
                "in_stack_depth": 15,
                "normalization": "median-iqr",
                "voxel_size": (0.2, 0.1, 0.1),
                "patch_size": 384,
            },
        ),
        Preset(
            "VSCyto3D-UNeXt2",
            "stain",
            f"{_VISCY}/VS_models/VSCyto3D/epoch=48-step=18130.ckpt",
            "unext2",
            {
                **_UNEXT2,
                **_STAINS,
                "in_stack_depth": 5,
                "stem_kernel_size": (5, 4, 4),
                "normalization": "median-iqr",
                "voxel_size": (0.2, 0.1, 0.1),
                "patch_size": 384,
            },
        ),
        Preset(
            "VSNeuromast",
            "stain",
            f"{_VISCY}/VS_models/VSNeuromast/epoch=64-step=24960.ckpt",
            "unext2",
            {
                **_UNEXT2,
                **_STAINS,
                "in_stack_depth": 21,
                "stem_kernel_size": (7, 4, 4),
                "normalization": "median-iqr",
                "voxel_size": (0.25, 0.108, 0.108),
                "patch_size": 384,
            },
        ),
        Preset(
            "ConvNeXt-Tiny-ImageNet",
            "imagenet",
            "https://dl.fbaipublicfiles.com/convnext/convnext_tiny_1k_224_ema.pth",
            "convnext_tiny",
        ),
    )
}
"""All published weights, by name."""


@dataclass(frozen=True)
class Weights:
    """A file of weights that may be used.

    Attributes
    ----------
    path
        The file.
    sha256
        Its hash.
    told
        What the user should know of it, a sentence each.
    """

    path: Path
    sha256: str
    told: tuple[str, ...] = ()


def find_preset(name: str, use: str) -> Preset:
    """Look up published weights.

    Raises
    ------
    InvalidInput
        If there are none of that name for that use.
    """
    known = [preset.name for preset in PRESETS.values() if preset.use == use]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}."
        raise InvalidInput(f"There are no weights '{name}': {hint}")
    return PRESETS[name]


def cache_folder() -> Path:
    """Folder of downloaded weights: that of ``NAPARI_DYNACLR_CACHE``, or the user's cache."""
    chosen = os.environ.get("NAPARI_DYNACLR_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(load_pooch().os_cache("napari-dynaclr")) / "weights"


def local_weights(path: str | Path, job: Job | None = None) -> Weights:
    """Take weights from a file of the user's.

    Raises
    ------
    InvalidInput
        If it is no file of weights, or cut short.
    """
    file = Path(path).expanduser()
    check_whole(file)
    return Weights(file, sha256(file, job))


def is_packaged(preset: Preset) -> bool:
    """Whether published weights have come with this package."""
    return preset.url.startswith(_PACKAGED)


def stored_at(preset: Preset) -> Path:
    """Return where published weights are kept, whether they are there or not."""
    if is_packaged(preset):
        return Path(__file__).parents[1] / preset.url.removeprefix(_PACKAGED)
    return cache_folder() / preset.file_name


def get_weights(preset: Preset, job: Job | None = None) -> Weights:
    """Return published weights, downloading them on first use.

    Once they are in the cache, no connection is needed; those that come with this package
    need none ever.

    Parameters
    ----------
    preset
        Which.
    job
        Progress and cancelling.

    Raises
    ------
    InvalidInput
        If they cannot be downloaded, or are no longer those of the first use.
    """
    job = job or Job()
    path = stored_at(preset)
    if is_packaged(preset):
        return local_weights(path, job)
    folder, record = path.parent, path.with_name(f"{path.name}.json")
    known = _recorded(record)
    expected = known.get("sha256")
    fetched = not path.exists()
    if fetched:
        download(preset.url, path, job, preset.name, expected)
    job.report(f"check {preset.name}")
    if fetched and expected is None:
        _discard_damaged(path, preset, job)
    found = sha256(path, job)
    if expected is None:
        about = {"sha256": found, "url": preset.url, "first_used": now()}
        with storage_errors(f"write to {folder}", "set NAPARI_DYNACLR_CACHE to another folder"):
            write_text(record, json.dumps(about, indent=2) + "\n")
        told = f"{preset.name}: sha256 {found} recorded on first use; later uses are checked."
        return Weights(path, found, (told,))
    if found != expected:
        raise InvalidInput(
            f"{path} has changed since its first use on {known.get('first_used')}: delete it, and "
            "it is downloaded again."
        )
    return Weights(path, found)


def _discard_damaged(path: Path, preset: Preset, job: Job) -> None:
    """Check a first download by the checksums inside it, as there is no other to compare with."""
    try:
        check_whole(path, contents=True, job=job)
    except InvalidInput:
        path.unlink()
        raise InvalidInput(
            f"What {preset.url} sent is damaged or no checkpoint, and was not kept: try again, or "
            "name a file of your own as weights file (weights=)."
        ) from None


def _recorded(record: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(record.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return {}
