"""What the name of a channel says of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Structure = Literal["nuclei", "membrane"]

_LABEL_FREE = re.compile(
    r"(?<!\b[sm][ _-])(?<!\bg[12][ _-])phase"
    r"|(?<![a-z])(dic|bf|qpi|dpc|trans(mitted|light)?)(?![a-z])"
    r"|bright[ _-]?field|label.?free|retardance",
    re.IGNORECASE,
)

# The plainest word first: it decides where several channels are named after the structure.
_WORDS: dict[Structure, tuple[str, ...]] = {
    "nuclei": ("nuclei", "nucleus", "nuclear", "nucl", "hoechst", "dapi", "h2b", "histone"),
    "membrane": ("membrane", "memb", "caax", "cellmask", "plasma"),
}

PREDICTION = "_prediction"
"""End of the name of a virtual stain, as VisCy has it."""


def is_label_free(channel: str) -> bool:
    """Whether a channel is phase, DIC or bright field, by its name."""
    return bool(_LABEL_FREE.search(channel))


def named_after(structure: Structure, channels: Iterable[str]) -> str | None:
    """Return the first channel that is named after a structure or its usual marker.

    Parameters
    ----------
    structure
        What the channel shows.
    channels
        Names to choose from.

    Returns
    -------
    str or None
        The channel; None if none is named so.
    """
    known = list(channels)
    for word in _WORDS[structure]:
        for channel in known:
            if word in channel.lower():
                return channel
    return None


def prediction_of(channel: str) -> str:
    """Name of the virtual stain of a channel, such as "nuclei_prediction" of "Nuclei"."""
    return f"{channel.lower().replace(' ', '_')}{PREDICTION}"
