"""One action on the tracks of one FOV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.tracking.correction.acting import Wish, act, write_all
from napari_dynaclr.tracking.correction.corrector import Corrector

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job


class EditParams(Params):
    """What is to be done, and to which cells."""

    action: Literal[
        "cut", "link", "swap", "merge", "divide", "undivide", "delete_track", "delete_node",
        "add", "accept", "undo", "redo",
    ] = Field(
        "cut",
        title="Action",
        description="cut: before a cell; link: an earlier cell to a later one; swap: the futures "
        "of two cells of a time point; merge: the end of one track with the begin of another; "
        "divide: a mother into two daughters; undivide: a mother, and the daughter that goes on as "
        "her, if one does; delete_track, delete_node: the track of a cell, or the cell alone; add: "
        "a cell at a place; accept: a suspected place is right; undo, redo: the last action.",
    )  # fmt: skip
    cells: tuple[str, ...] = Field(
        (),
        title="Cells",
        description="Cells in the order of the action, each by its id or as track@t, such as 12@5.",
    )
    place: str = Field(
        "",
        title="Place of a new cell",
        description="t, y, x (or t, z, y, x), lengths in pixels, separated by commas, for 'add'.",
    )
    radius: float = Field(
        5.0, title="Radius of a new cell (um)", description="For 'add', in um.", gt=0, le=1000
    )
    replace: bool = Field(
        False,
        title="Replace links",
        description="For 'link': cut what the earlier cell goes on as, or divides into, so far.",
    )
    kind: str = Field(
        "", title="Kind of suspicion", description="For 'accept': as the list of suspects has it."
    )


def run(dataset: Dataset, params: EditParams, job: Job) -> pd.DataFrame:
    """Do the action and write the tracks.

    Raises
    ------
    InvalidInput
        If it cannot be done, or more than one FOV is chosen.
    """
    if len(dataset.fov_names) != 1:
        raise InvalidInput(
            f"An action is on one FOV; {len(dataset.fov_names)} are chosen: name one with --fov."
        )
    corrector = Corrector(dataset, dataset.fov_names[0])
    if params.action in ("undo", "redo"):
        outcome = corrector.undo() if params.action == "undo" else corrector.redo()
        job.note(outcome.said if outcome else f"There is nothing to {params.action}.")
    else:
        place = read_place(params.place) if params.place else None
        shared = {"radius": params.radius, "replace": params.replace, "kind": params.kind}
        act(corrector, [Wish(params.action, params.cells, place, **shared)], job)  # type: ignore[arg-type]
    return write_all(dataset, job)


def read_place(text: str) -> tuple[float, float, float, float]:
    """Read "t, y, x" or "t, z, y, x".

    Raises
    ------
    InvalidInput
        If it is neither.
    """
    try:
        numbers = [float(one) for one in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (3, 4) or numbers[0] != int(numbers[0]):
        raise InvalidInput(f"place = '{text}': write t, y, x or t, z, y, x, such as 3,120.5,88.")
    t, *rest = numbers
    z, y, x = rest if len(rest) == 3 else (0.0, *rest)
    return t, z, y, x
