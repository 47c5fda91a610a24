"""What a file of tracks holds of one FOV, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Found:
    """The tracks of one FOV.

    Attributes
    ----------
    table
        Valid tracks (:func:`~napari_dynaclr.core.tables.validate_tracks`); with ``radius`` in
        um where the format has one (NaN where it has not), ``reliability`` where it has that,
        and ``area`` in pixels where the cells were measured in the label images.
    labels
        Their label images, by time point, (Z, Y, X) with the ``track_id`` as pixel value;
        None where there are points only.
    notes
        What could not be taken as it is, a sentence each.
    """

    table: pd.DataFrame
    labels: Callable[[Iterable[int]], Iterator[tuple[int, NDArray[Any]]]] | None = None
    notes: tuple[str, ...] = ()
