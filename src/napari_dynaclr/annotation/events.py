"""Likely events that are accepted as annotations, such as divisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import Field

from napari_dynaclr.core.assign import nodes_at
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.journal import Mark
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.taskbook import read_tasks
from napari_dynaclr.core.tasks import find_task, refuse_typos

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.tasks import Task


class EventsParams(Params):
    """Settings of the acceptance of likely events."""

    events: str = Field(
        "tap", title="Events", description="Which likely events: the name they were found under."
    )
    count: int = Field(
        20,
        title="How many",
        description="The first so many events of all FOVs are accepted, by score.",
        ge=1,
        le=100_000,
    )
    ranks: tuple[int, ...] = Field(
        (),
        title="Ranks",
        description="Ranks of the events to accept, of each FOV by themselves, instead of the "
        "first ones. From the command line only.",
        json_schema_extra={"advanced": True, "command_line": True},
    )
    task: str = Field(
        "division",
        title="Task",
        description="What is said of the cells, such as division or your own.",
        min_length=1,
        pattern=r"^\w[\w-]*$",
        json_schema_extra={"choices": "tasks", "editable": True},
    )
    state: str = Field(
        "",
        title="State",
        description="State of the cells; the second of the task, such as mitosis, if left out.",
    )
    radius: float = Field(
        10.0,
        title="Reach (um)",
        description="An event that lies on no cell means the nearest centroid within this "
        "distance.",
        ge=0,
        le=1000,
        json_schema_extra={"advanced": True},
    )
    annotator: str = Field(
        "",
        title="Annotator",
        description="Who annotated; the user of this computer if empty.",
        json_schema_extra={"advanced": True},
    )


def read(dataset: Dataset, params: EventsParams, job: Job) -> tuple[list[Mark], str]:
    """Give the cells of likely events a state.

    An event at which there is no cell is left out, and the job notes how many are.

    Raises
    ------
    MissingInput
        If events have not been looked for, or a FOV has not been tracked.
    InvalidInput
        If there is no event of a given rank, no event at all, or none of them on a cell; if a
        task of no known states is given no state.
    """
    task = find_task(params.task, read_tasks(dataset.workspace))
    state = _state(task, params)
    tables = {
        fov.name: dataset.workspace.events(params.events, fov)
        for fov in job.track(dataset.fovs, "read events")
    }
    chosen = _chosen(tables, params)
    marks: list[Mark] = []
    for name, events in job.track(list(chosen.items()), "accept events"):
        marks += _marks(dataset, dataset[name], events, task, state, params)
    asked = sum(map(len, chosen.values()))
    if not marks:
        raise InvalidInput(
            f"None of {asked} events is within {params.radius:g} um of a tracked cell: raise the "
            "radius, or track again."
        )
    if len(marks) < asked:
        job.note(
            f"{len(marks)} of {asked} events are accepted as {state}; the others have no cell of "
            f"their own within {params.radius:g} um."
        )
    return marks, params.annotator


def _state(task: Task, params: EventsParams) -> str:
    if params.state:
        refuse_typos([params.state], task, "state")
        return params.state
    if len(task.state_names) < 2:
        raise InvalidInput(f"Which state of {task.name} is meant? Name it with state.")
    return task.state_names[1]


def _chosen(tables: dict[str, pd.DataFrame], params: EventsParams) -> dict[str, pd.DataFrame]:
    """Events to accept, by FOV."""
    if sum(map(len, tables.values())) == 0:
        raise InvalidInput("No event was found: lower the score of 'find', and run it again.")
    if params.ranks:
        for name, table in tables.items():
            missing = sorted(set(params.ranks) - set(table["rank"]))
            if missing:
                raise InvalidInput(
                    f"FOV {name} has no event of rank {missing[0]}: it has {len(table)}. Choose "
                    "one FOV with --fov."
                )
        return {name: table[table["rank"].isin(params.ranks)] for name, table in tables.items()}
    full = {name: table for name, table in tables.items() if len(table)}
    every = pd.concat([table.assign(fov_name=name) for name, table in full.items()])
    first = every.sort_values("score", ascending=False, kind="stable").head(params.count)
    return {str(name): table for name, table in first.groupby("fov_name", sort=False)}


def _marks(
    dataset: Dataset,
    fov: Fov,
    events: pd.DataFrame,
    task: Task,
    state: str,
    params: EventsParams,
) -> list[Mark]:
    # Looked up anew: the FOV may have been corrected since the events were found.
    tracks = dataset.workspace.tracks(fov)
    labels = dataset.workspace.labels("tracks", fov)
    made_on = dataset.workspace.key("tracks", fov) or ""
    points = events[["z", "y", "x"]].to_numpy(float)
    ids = nodes_at(labels, tracks, events["t"].to_numpy(), points, params.radius)
    nodes: dict[Any, dict[Any, Any]] = (
        tracks[tracks["id"].isin(ids)].set_index("id").to_dict("index")
    )
    found: dict[int, Mark] = {}
    row: Any
    for node, row in zip(ids.tolist(), events.itertuples(), strict=True):
        if node < 0 or node in found:
            continue
        about = nodes[node]
        found[node] = Mark(
            fov_name=fov.name,
            id=node,
            track_id=int(about["track_id"]),
            t=int(row.t),
            z=float(row.z),
            y=float(row.y),
            x=float(row.x),
            task=task.name,
            state=state,
            made_on=made_on,
        )
    return list(found.values())
