"""Where corrections are made: the corrector of one FOV, in the jobs of a viewer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_dynaclr.session.corrected import Changes, changes_of, with_tracks
from napari_dynaclr.session.painting import paint
from napari_dynaclr.tracking.correction.corrector import Corrector, describe
from napari_dynaclr.tracking.correction.replay import replay
from napari_dynaclr.tracking.correction.suspects import suspects
from napari_dynaclr.tracking.correction.writing import write_corrections as _write

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.tasks import Task
    from napari_dynaclr.session.cells import Cells
    from napari_dynaclr.session.colours import ColourBy, Palette
    from napari_dynaclr.session.marks import Marks
    from napari_dynaclr.tracking.correction.journal import Recorded

Looks = tuple["ColourBy", "Sequence[Task]", "Marks"]
"""What cells are coloured by, and what that takes."""


@dataclass(frozen=True)
class Corrected:
    """The tracks of a FOV as they are after a correction, ready to be shown.

    Attributes
    ----------
    fov_name, key
        The FOV, and the key of its tracks; "" where nothing was corrected.
    cells, palette
        What the viewer is to show, and its colours.
    labels
        The label images that the tracker made.
    changes
        How what is to be seen differs from them.
    behind
        Whether the tracks on disk lack corrections.
    undo, redo
        What would be taken back or done again, "" if nothing.
    waiting
        How many corrections were made on earlier tracks of this FOV.
    tracks, looked_at
        The tracks as a table, and the corrections in them.
    """

    fov_name: str = ""
    key: str = ""
    cells: Cells | None = None
    palette: Palette | None = None
    labels: Fov | None = None
    changes: Changes = field(default_factory=Changes)
    behind: bool = False
    undo: str = ""
    redo: str = ""
    waiting: int = 0
    tracks: pd.DataFrame | None = field(default=None, repr=False, compare=False)
    looked_at: tuple[Recorded, ...] = ()


class Desk:
    """Holds the corrector of the FOV on screen; used by one job at a time."""

    def __init__(self) -> None:
        self._held: tuple[str, str, str] | None = None
        self._corrector: Corrector | None = None

    def corrector(self, dataset: Dataset, fov_name: str, key: str) -> Corrector:
        """Return the corrector of a FOV; its tracks are read at the first call.

        Parameters
        ----------
        dataset, fov_name
            The FOV.
        key
            Of the tracks that are on screen: with other tracks, ids mean other cells.
        """
        wanted = (str(dataset.workspace.path), fov_name, key)
        if self._corrector is None or self._held != wanted:
            self._corrector, self._held = Corrector(dataset, fov_name), wanted
        return self._corrector

    def corrected(self, dataset: Dataset, cells: Cells, looks: Looks) -> Corrected:
        """Prepare what is to be shown of the tracks as they are now.

        Parameters
        ----------
        dataset
            Where features are read, if cells are coloured by one.
        cells
            As they were read: all that is known of nodes that are deleted by now, too.
        looks
            What its cells are coloured by.
        """
        one = self._corrector
        if one is None:
            return Corrected()
        tracks = one.tracks
        after = with_tracks(cells, one.fov.name, tracks)
        return Corrected(
            fov_name=one.fov.name,
            key=one.key,
            cells=after,
            palette=paint(dataset, after, *looks),
            labels=one.source,
            changes=changes_of(one.lineages),
            behind=one.behind,
            undo=describe(one.corrections[-1].correction) if one.can_undo else "",
            redo=describe(one.undone.correction) if one.undone is not None else "",
            waiting=len(one.waiting),
            tracks=tracks,
            looked_at=tuple(one.corrections),
        )


def suspicious(dataset: Dataset, fov_name: str, shown: Corrected) -> pd.DataFrame:
    """Find the suspicious places in the tracks of a FOV, as they are corrected; in a job.

    Parameters
    ----------
    dataset, fov_name
        The FOV.
    shown
        Its tracks after the last correction; without any, they are read.
    """
    tracks, looked_at = shown.tracks, shown.looked_at
    if tracks is None or shown.fov_name != fov_name:
        one = Corrector(dataset, fov_name)
        tracks, looked_at = one.tracks, tuple(one.corrections)
    return suspects(tracks, dataset.whole[fov_name], looked_at=looked_at)


def replayed(dataset: Dataset, corrector: Corrector) -> str:
    """Repeat the corrections of earlier tracks, and say what came of it; in a job."""
    done, left_out = replay(dataset, corrector)
    text = f"{len(done)} correction{'s' * (len(done) != 1)} repeated"
    return "; not possible: ".join([text, *left_out])


def write_corrections(dataset: Dataset, fov_names: Sequence[str], job: Job) -> None:
    """Write the corrected tracks of those FOVs whose tables lack corrections; in a job."""
    fovs = (dataset.whole[name] for name in fov_names)
    _write(dataset, (fov for fov in fovs if dataset.workspace.behind(fov)), job)
