"""What an encoder's input has to be: from the settings, its own file, or its preset."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from pydantic import Field

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.cell_patches import Window
from napari_dynaclr.embedding.scaling import Mode
from napari_dynaclr.learning.recipe import Recipe as BaseRecipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.embedding.dynaclr.architecture import EncoderConfig


class Recipe(BaseRecipe):
    """How patches were made for an encoder's training; None where that is not known.

    Attributes
    ----------
    source_channels
        Channels, by the names they had.
    z_start
        First slice of a patch.
    patch_size
        Its width and height, pixels.
    normalization
        How each channel was normalised.
    """

    source_channels: tuple[str, ...] | None = None
    z_start: int | None = Field(None, ge=0)
    patch_size: int | None = Field(None, ge=32)
    normalization: tuple[Mode, ...] | None = None


def make_window(
    recipe: Recipe, config: EncoderConfig, dataset: Dataset, allow_empty: bool
) -> tuple[Window, list[str]]:
    """Settle which pixels of a dataset an encoder is to see.

    Parameters
    ----------
    recipe
        What is known of its input.
    config
        Its shape.
    dataset
        The images.
    allow_empty
        See :class:`~napari_dynaclr.embedding.cell_patches.Window`.

    Returns
    -------
    tuple
        The window, and what the user should know of how it was chosen.

    Raises
    ------
    InvalidInput
        If it takes another number of channels, or the patch size or normalisation is
        not known.
    """
    told: list[str] = []
    channels = choose_channels(recipe.source_channels, config.channels, dataset.channels)
    if recipe.source_channels is None:
        told.append(f"Channels: {', '.join(channels)}, as many as the weights take.")
    if recipe.patch_size is None:
        raise InvalidInput(
            "The weights do not say how large their patches were: set patch_size, in pixels."
        )
    if recipe.normalization is None:
        raise InvalidInput(
            "The weights do not say how their images were normalised: set normalization, "
            f"to {', '.join(get_args(Mode)[:-1])} or none, for all channels or one each."
        )
    modes = _per_channel(recipe.normalization, len(channels))
    size = (config.depth, recipe.patch_size, recipe.patch_size)
    return Window(channels, size, recipe.z_start, modes, allow_empty), told


def choose_channels(
    wanted: Sequence[str] | None, count: int, there: Sequence[str]
) -> tuple[str, ...]:
    """Settle which channels of a dataset an encoder sees.

    Parameters
    ----------
    wanted
        Those that were asked for or that it was trained on; None if that is not known.
    count
        How many it takes.
    there
        The dataset's.

    Raises
    ------
    InvalidInput
        If it takes another number, or it is not clear which they are.
    """
    if wanted is not None and len(wanted) != count:
        raise InvalidInput(
            f"The weights take {count} channel{'s' * (count > 1)}, {len(wanted)} "
            f"{'are' if len(wanted) > 1 else 'is'} chosen ({', '.join(wanted)}): choose {count}."
        )
    if wanted is not None and set(wanted) <= set(there):
        return tuple(wanted)
    if wanted is None and len(there) == count:
        return tuple(there)
    named = f" (they were trained on {', '.join(wanted)})" if wanted else ""
    raise InvalidInput(
        f"Choose the {count} channel{'s' * (count > 1)} that the weights take{named}, in their "
        f"order, from {', '.join(there)}."
    )


def _per_channel(modes: tuple[Mode, ...], count: int) -> tuple[Mode, ...]:
    if len(modes) == 1:
        return modes * count
    if len(modes) != count:
        raise InvalidInput(
            f"There are {len(modes)} normalisations for {count} channels: give one for all, or "
            "one each."
        )
    return modes
