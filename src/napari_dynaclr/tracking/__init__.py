"""Tracking: cells linked over time, with divisions."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.plate_writer import FovWriter
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import (
    claimed,
    pending,
    recorded,
    result_key,
    source_key,
    stain_inputs,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.core.workspace import Workspace
    from napari_dynaclr.tracking.movie import Linked, Movie

RESULT = "tracks"


def track(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Link cells over time.

    Writes ``tracks.zarr``: label images with each cell numbered by its track, and
    ``tracks.csv`` beside them in the columns of ultrack and VisCy. Most methods link the
    cells of ``segment``; some find cells of their own in the images.

    Parameters
    ----------
    dataset
        A dataset that has been segmented, where the method needs it.
    params
        Settings of a tracking method; the default method if omitted.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        ``fov_name`` and :data:`~napari_dynaclr.core.tables.TRACK_COLUMNS`, ``area`` in
        pixels and ``reliability`` of the link to the node before (0 to 1; 1 where there is
        none).

    Raises
    ------
    MissingInput
        If a FOV has not been segmented.
    InvalidInput
        If no cells were found in a FOV, or settings or pixels cannot be used.
    """
    import pandas as pd

    from napari_dynaclr.tracking.correction.engine import forget_lost

    job = job or Job()
    method, params = resolve("track", params)
    module = method.load()
    workspace = dataset.workspace
    with (
        recorded(dataset, method, params) as entry,
        _opened(module, dataset, params, job) as linker,
    ):
        weights = [linker.weights] if linker.weights else []
        entry["weights_sha256"] = weights
        inputs = {fov.name: _inputs(module, dataset, fov, params) for fov in dataset.fovs}
        keys = {
            fov.name: result_key(
                method, params, *_sources(module, fov, params, inputs[fov.name]), *weights
            )
            for fov in dataset.fovs
        }
        for fov in dataset.fovs:
            forget_lost(workspace, fov)
        done, todo = pending(dataset, RESULT, keys)
        work = job.track(todo, "track", done=len(done), total=len(dataset.fovs))
        for fov in claimed(workspace, RESULT, work):
            writer = FovWriter(
                workspace, RESULT, fov, keys[fov.name], ["labels"], inputs=inputs[fov.name]
            )
            movie = _movie(dataset, fov, "segmentation" in inputs[fov.name], keys[fov.name], job)
            job.report(f"link {fov.name}")
            _write(writer, movie, linker.link(movie, job), workspace, job)
    tables = [workspace.tracks(fov).assign(fov_name=fov.name) for fov in dataset.fovs]
    result = pd.concat(tables, ignore_index=True)
    return result[["fov_name", *result.columns.drop("fov_name")]]


@dataclass(frozen=True)
class _Plain:
    """A method that is a function."""

    module: Any
    params: Params
    weights: str = ""

    def link(self, movie: Movie, job: Job) -> Linked:
        linked: Linked = self.module.link(movie, self.params, job)
        return linked


def _opened(module: Any, dataset: Dataset, params: Params, job: Job) -> AbstractContextManager[Any]:
    """Hold a method's network over all FOVs, if it has one."""
    if hasattr(module, "opened"):
        held: AbstractContextManager[Any] = module.opened(dataset, params, job)
        return held
    return nullcontext(_Plain(module, params))


def _inputs(module: Any, dataset: Dataset, fov: Fov, params: Params) -> dict[str, str]:
    """Return the keys of the earlier results that a method's tracks are made from."""
    inputs = stain_inputs(dataset, fov, _channels(module, fov, params))
    if getattr(module, "needs_segmentation", lambda _params: True)(params):
        key = dataset.workspace.require("segmentation", fov, "segmented cells", "segment")
        inputs = {"segmentation": key, **inputs}
    return inputs


def _channels(module: Any, fov: Fov, params: Params) -> list[str]:
    channels: list[str] = getattr(module, "channels_read", lambda _fov, _params: [])(fov, params)
    return channels


def _sources(module: Any, fov: Fov, params: Params, inputs: dict[str, str]) -> list[str]:
    """Return what identifies everything that a method reads of a FOV."""
    found = list(inputs.values())
    if _channels(module, fov, params) or "segmentation" not in inputs:
        found.append(source_key(fov))
    if hasattr(module, "input_key"):  # of what it reads elsewhere
        found.append(module.input_key(fov, params))
    return found


def _movie(dataset: Dataset, fov: Fov, segmented: bool, key: str, job: Job) -> Movie:
    import pandas as pd

    from napari_dynaclr.tracking.movie import Movie
    from napari_dynaclr.tracking.nodes import NODE_COLUMNS, frame_nodes

    scratch = dataset.workspace.partial(RESULT, fov, key) / "scratch"
    if not segmented:
        return Movie(fov, pd.DataFrame(columns=NODE_COLUMNS), scratch)
    labels = dataset.workspace.labels("segmentation", fov)
    movie = Movie(fov, pd.DataFrame(columns=NODE_COLUMNS), scratch, labels)
    frames = job.track(movie.labels(), f"cells {fov.name}", total=fov.shape[0])
    nodes = pd.concat([frame_nodes(frame, t) for t, frame in frames], ignore_index=True)
    if nodes.empty:
        raise InvalidInput(
            f"FOV {fov.name} has no segmented cells: check the channel and the diameter of "
            "'segment', or leave this FOV out."
        )
    return Movie(fov, nodes, scratch, labels)


def _write(writer: FovWriter, movie: Movie, linked: Linked, workspace: Workspace, job: Job) -> None:
    """Write the label images, numbered by track, and the table, and publish both."""
    from napari_dynaclr.tracking.correction.engine import void_kept
    from napari_dynaclr.tracking.nodes import relabel, to_tracks

    fov = movie.fov
    if linked.nodes.empty:
        raise InvalidInput(
            f"No cells were found in FOV {fov.name}: check the channel and the settings of the "
            "tracking method, or leave this FOV out."
        )
    tracks = to_tracks(linked.nodes, fov.scale)
    start = writer.next_time
    by_time = dict(iter(linked.nodes.groupby("t")))
    frames = (linked.labels or movie.labels)(range(start, fov.shape[0]))
    for t, frame in job.track(frames, f"write {fov.name}", total=fov.shape[0], done=start):
        writer.write(t, relabel(frame, by_time.get(t))[None])
        job.made(writer.part(t))
    void_kept(workspace, fov)
    writer.publish({"tracks.csv": tracks})
