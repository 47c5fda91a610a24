"""What a measurement comes to: a table, and pictures where they say more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Report:
    """What a method's ``measure`` returns.

    Attributes
    ----------
    table
        The figures.
    pictures
        Pictures by what they show; an empty name for the one that stands for all.
    more
        Further tables by what they show.
    of
        What was measured, where there can be several: its files are named after it, so that
        measures of different things are kept beside each other.
    """

    table: pd.DataFrame
    pictures: dict[str, Figure] = field(default_factory=dict)
    more: dict[str, pd.DataFrame] = field(default_factory=dict)
    of: str = ""
