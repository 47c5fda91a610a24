"""How far down a list of likely events to look: what chance would put there.

The head of the network has no order of its own: it says of two frames swapped the contrary of what
it says of them as they are. So the places where it says that a movie runs backwards are what the
same search would find in the movie played backwards, where no event is one. Were there nothing in
a movie that has a direction, there would be as many of them, and as high. (Proteomics does so, by
searching spectra among decoys.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEW = 0.1
"""Share without a direction up to which a list is worth looking through without a thought."""
_MOST = 0.5


def false_share(scores: NDArray[np.float64], backwards: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of events without a direction that is expected down to each.

    Parameters
    ----------
    scores
        Of the events, the highest first, (N,).
    backwards
        Scores of what is found in the movies played backwards, in any order.

    Returns
    -------
    numpy.ndarray
        (N,), 0-1, never falling: as many as are found backwards, and one more, relative to the
        events down to this one; or less, if it is less down to a later one.
    """
    if not len(scores):
        return np.zeros(0)
    rising = np.sort(backwards)
    as_high = len(rising) - np.searchsorted(rising, scores, side="left")
    share = np.minimum((as_high + 1) / np.arange(1, len(scores) + 1), 1.0)
    return np.asarray(np.minimum.accumulate(share[::-1])[::-1])


def advice(share: NDArray[np.float64]) -> str:
    """Say how far down a list to look.

    Parameters
    ----------
    share
        From :func:`false_share`, of at least one event.
    """
    count = int((share <= FEW).sum())
    if count:
        those = "The first one has" if count == 1 else f"The first {count} have"
        return (
            f"{those} a higher score than chance would give: about {share[count - 1]:.0%} of them "
            "have no direction in time, judged by what is found in the movie played backwards."
        )
    if len(share) < 1 / FEW and share[-1] * len(share) < 1 + 1e-9:  # the one that is always added
        those = "one event is" if len(share) == 1 else f"{len(share)} events are"
        return (
            f"Nothing found in the movie played backwards has a score as high, but {those} too few "
            "to tell how many have a direction in time: list more (count=), or look at more FOVs."
        )
    if share[0] > _MOST:
        return (
            "No score is higher than chance would give: as much is found in the movie played "
            "backwards. The network may not know images like these: train one on them (train "
            "--method tap), take another channel=, or frames further apart (delta_t)."
        )
    return (
        f"Of the first {int((share <= share[0]).sum())} events, about {share[0]:.0%} have no "
        "direction in time, judged by what is found in the movie played backwards."
    )
