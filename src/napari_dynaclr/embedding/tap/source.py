"""Which TAP network to use, and on which channel: the settings of all that uses one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from napari_dynaclr.core.channels import named_after
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import ComputeParams
from napari_dynaclr.core.weight_files import about_weights, check_whole
from napari_dynaclr.core.weights import find_preset, get_weights, local_weights

if TYPE_CHECKING:
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.weights import Weights

KIND = "tap"
"""What a file of this project says that it is."""
KWARGS, STATE = "model_kwargs.yaml", "model_state.pt"
"""Files of a folder of the public code's."""
_PICKLE = "model_full.pt"


class TapSource(ComputeParams):
    """Settings that say which TAP network is used, and what it sees."""

    preset: Literal["simulated-arrow", "none"] = Field(
        "simulated-arrow",
        title="Network",
        description="The small network that comes along, trained on simulated nuclei; none is "
        "for weights of your own.",
        json_schema_extra={"advanced": True},
    )
    weights: str = Field(
        "",
        title="Weights",
        description="What you trained with 'train --method tap' (.safetensors), or a folder that "
        "the public TAP code has saved (the folder, or the model_state.pt in it).",
        json_schema_extra={
            "path": "file",
            "filter": "Weights (*.safetensors *.pt)",
            "choices": "arrows",
            "left_out": "the network that comes along",
        },
    )
    channel: str = Field(
        "",
        title="Channel",
        description="What the network sees; the channel that it was trained on, if left empty.",
        json_schema_extra={"choices": "channels"},
    )
    stacks: Literal["auto", "slices", "max"] = Field(
        "auto",
        title="Stacks",
        description="What becomes of images with depth: slices looks at each slice by itself, max "
        "at their maximum projection; auto does as was done in training.",
        json_schema_extra={"advanced": True},
    )

    def digest(self) -> str:
        """Short hash of the settings but for the network, of which results keep its content.

        So it is all the same by which path it is reached, and whether the one that comes along,
        which it takes the place of, was left chosen.
        """
        return ComputeParams.digest(self.model_copy(update={"preset": "none", "weights": ""}))


def is_public(path: Path) -> bool:
    """Whether a path is that of a folder of the public code's, or of weights in one."""
    return path.is_dir() or (path.suffix == ".pt" and path.with_name(KWARGS).is_file())


def state_file(path: Path) -> Path:
    """Return the file with the weights in a folder of the public code's.

    Parameters
    ----------
    path
        The folder, or that file itself.

    Raises
    ------
    InvalidInput
        If a file of the folder is missing.
    """
    if not path.is_dir():
        return path
    if not (path / KWARGS).is_file():
        raise InvalidInput(
            f"{path} has no {KWARGS}: choose a folder that the public TAP code has saved, or a "
            ".safetensors of 'train --method tap'."
        )
    if (path / STATE).is_file():
        return path / STATE
    if (path / _PICKLE).is_file():
        raise InvalidInput(
            f"{path} has {_PICKLE} only, a pickle, which could run code and is not opened: save "
            f"{STATE} beside it, with the public code's save(which='state')."
        )
    raise InvalidInput(f"{path} has no {STATE}: get the whole folder again.")


def find_weights(params: TapSource, job: Job) -> Weights:
    """Find the weights that the settings name.

    Parameters
    ----------
    params
        Settings.
    job
        For cancelling.

    Raises
    ------
    InvalidInput
        If there are none, or a file is missing.
    """
    if params.weights:
        return local_weights(state_file(Path(params.weights).expanduser()), job)
    if params.preset == "none":
        raise InvalidInput(
            "Name weights of TAP with weights=, or take the network that comes along "
            "(preset=simulated-arrow)."
        )
    return get_weights(find_preset(params.preset, "arrow"), job)


def choose_channel(fov: Fov, params: TapSource) -> str:
    """Settle which channel of a FOV the network sees; nothing is loaded for it.

    Parameters
    ----------
    fov
        The images.
    params
        Settings.

    Raises
    ------
    InvalidInput
        If there is no such channel, or it is not clear which; or if there are no such weights.
    """
    if params.channel:
        fov.find(params.channel)
        return params.channel
    trained = _trained_on(params)
    if trained in fov.channels:
        return trained
    if len(fov.channels) == 1:
        return fov.channels[0]
    # Nuclei go by many names; another channel's network is of no use on them.
    found = named_after("nuclei", fov.channels) if named_after("nuclei", [trained]) else None
    if found is None:
        named = f" (it was trained on {trained})" if trained else ""
        raise InvalidInput(
            f"Choose the channel that TAP is to see{named} with channel=: FOV {fov.name} has "
            f"{', '.join(fov.channels)}."
        )
    return found


def not_tap(path: Path) -> InvalidInput:
    """Return the error that says that a file of weights is of another network."""
    return InvalidInput(
        f"{path} is no TAP network: choose one of 'train --method tap', or a folder that the "
        "public TAP code has saved."
    )


def _trained_on(params: TapSource) -> str:
    """Return the channel that weights were trained on, "" where that is not known."""
    if params.weights:
        path = Path(params.weights).expanduser()
        check_whole(state_file(path))  # lest the channel be told to be what is wrong
        about = about_weights(path)
        if about and about.get("kind") != KIND:
            raise not_tap(path)
        return str(about.get("source_channel") or "")
    if params.preset == "none":
        return ""
    return str(find_preset(params.preset, "arrow").settings["source_channel"])
