"""Tracking: segmented cells linked over time, with divisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.plate_writer import FovWriter
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import claimed, pending, recorded, result_key

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.params import Params

RESULT = "tracks"


def track(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Link segmented cells over time.

    Writes ``tracks.zarr``: the label images with each cell numbered by its track,
    and ``tracks.csv`` beside them in the columns of ultrack and VisCy.

    Parameters
    ----------
    dataset
        A dataset that has been segmented.
    params
        Settings of a tracking method; the default method if omitted.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        ``fov_name`` and :data:`~napari_dynaclr.core.tables.TRACK_COLUMNS`.

    Raises
    ------
    MissingInput
        If a FOV has not been segmented.
    InvalidInput
        If no cells were found in a FOV.
    """
    import pandas as pd

    from napari_dynaclr.tracking.nodes import frame_nodes, relabel, to_tracks

    job = job or Job()
    method, params = resolve("track", params)
    module = method.load()
    workspace = dataset.workspace
    with recorded(dataset, method, params):
        inputs = {
            fov.name: workspace.require("segmentation", fov, "segmented cells", "segment")
            for fov in dataset.fovs
        }
        keys = {name: result_key(method, params, key) for name, key in inputs.items()}
        done, todo = pending(dataset, RESULT, keys)
        work = job.track(todo, "track", done=len(done), total=len(dataset.fovs))
        for fov in claimed(workspace, RESULT, work):
            labels = workspace.labels("segmentation", fov)
            frames = labels.frames(["labels"], allow_empty=True)
            nodes = pd.concat(
                [
                    frame_nodes(frame[0], t)
                    for t, frame in job.track(frames, f"cells {fov.name}", total=fov.shape[0])
                ],
                ignore_index=True,
            )
            _refuse_none(nodes, fov)
            job.report(f"link {fov.name}")
            linked = module.link(nodes, fov.scale, params)
            tracks = to_tracks(linked)
            writer = FovWriter(
                workspace,
                RESULT,
                fov,
                keys[fov.name],
                ["labels"],
                inputs={"segmentation": inputs[fov.name]},
            )
            start = writer.next_time
            by_time = dict(iter(linked.groupby("t")))
            frames = labels.frames(["labels"], range(start, fov.shape[0]), allow_empty=True)
            for t, frame in job.track(frames, f"write {fov.name}", total=fov.shape[0], done=start):
                writer.write(t, relabel(frame, by_time.get(t)))
                job.made(writer.part(t))
            writer.publish({"tracks.csv": tracks})
    tables = [workspace.tracks(fov).assign(fov_name=fov.name) for fov in dataset.fovs]
    result = pd.concat(tables, ignore_index=True)
    return result[["fov_name", *result.columns.drop("fov_name")]]


def _refuse_none(nodes: pd.DataFrame, fov: Fov) -> None:
    if nodes.empty:
        raise InvalidInput(
            f"FOV {fov.name} has no segmented cells: check the channel and the diameter of "
            "'segment', or leave this FOV out."
        )
