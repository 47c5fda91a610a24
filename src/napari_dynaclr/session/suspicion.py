"""The queue of suspicious places in the tracks of a FOV, and where in it a person is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MOST = 500
"""Places in a queue at most: more than a person looks at in one go."""


@dataclass(frozen=True)
class Suspect:
    """A place in the tracks that is worth a look.

    Attributes
    ----------
    kind
        What kind of error it may be.
    id, other
        Nodes that it is about; ``other`` is None where there is one only.
    t
        Time point of the first.
    score
        How suspicious it is, 0 to 1.
    why
        Why, in words.
    """

    kind: str
    id: int
    other: int | None
    t: int
    score: float
    why: str

    @property
    def key(self) -> tuple[str, int, int | None]:
        """What tells it from others, also when scores have changed."""
        return self.kind, self.id, self.other


@dataclass(frozen=True)
class Queue:
    """Suspicious places, the most suspicious first.

    Attributes
    ----------
    places
        The places.
    position
        Which of them is looked at, -1 for none yet.
    total
        How many there are, also those that are too many to be kept.
    """

    places: tuple[Suspect, ...] = ()
    position: int = -1
    total: int = 0

    @property
    def current(self) -> Suspect | None:
        """The place that is looked at."""
        return self.places[self.position] if 0 <= self.position < len(self.places) else None

    def at(self, position: int) -> Queue:
        """Return the queue with another place looked at."""
        return replace(self, position=position)

    def renewed(self, table: pd.DataFrame) -> Queue:
        """Return the queue of what is suspicious now.

        Whoever looks at a place goes on looking at it; if it is gone, at the one that has
        taken its turn.

        Parameters
        ----------
        table
            ``kind``, ``id``, ``other_id`` (-1 for none), ``t``, ``score`` and ``why``, the
            most suspicious first.
        """
        columns = ("kind", "id", "other_id", "t", "score", "why")
        places = tuple(
            Suspect(
                str(kind), int(node), int(other) if other >= 0 else None, int(t), float(score), why
            )
            for kind, node, other, t, score, why in zip(
                *(table[name].head(MOST) for name in columns), strict=True
            )
        )
        before = self.current
        position = min(self.position, len(places) - 1)
        if before is not None:
            keys = [place.key for place in places]
            position = keys.index(before.key) if before.key in keys else position
        return Queue(places, position, len(table))
