"""Make a simulated plate: all fields, in parallel, with progress and cancelling."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
from iohub.ngff import Position, open_ome_zarr

from napari_dynaclr.core.errors import storage_errors
from napari_dynaclr.core.job import Job
from napari_dynaclr.sample.params import SimulateParams
from napari_dynaclr.sample.plate import FovPlan, PartialPlate, plan
from napari_dynaclr.sample.population import simulate_population
from napari_dynaclr.sample.rendering import Renderer
from napari_dynaclr.sample.truth import TruthRecorder


def simulate(
    path: str | Path, params: SimulateParams | None = None, job: Job | None = None
) -> Path:
    """Make a simulated infection time-lapse with full ground truth.

    Two OME-Zarr plates: the images at ``path`` (channels Phase, Nuclei, Membrane,
    Sensor) and, beside them, ``<stem>_truth.zarr`` with the channels nucleus_labels
    and cell_labels, whose pixel values are track ids, a ``tracks.csv`` per field and
    one ``annotations.csv``. Row A is mock, row B infected (MOI 5), after the Dengue
    movies of DynaCLR (section B.2).

    The same settings give the same pixels, whatever the number of cores, and each
    field is the same whatever other fields there are. An interrupted run goes on
    where it stopped when it is started again with the same settings.

    Parameters
    ----------
    path
        Where to put the plate, as in "demo.zarr".
    params
        Settings; the defaults give 8 fields of 36 frames of 512 x 512 pixels.
    job
        Progress and cancelling.

    Returns
    -------
    Path
        The plate of images.

    Raises
    ------
    InvalidInput
        If one of the two plates exists already.
    StorageError
        If the disk is full or may not be written.
    Cancelled
        If the job was cancelled; what is finished is kept for the next run.
    """
    params, job = params or SimulateParams(), job or Job()
    target = Path(path)
    job.check()
    with storage_errors(f"write {target.name}"):
        partial = PartialPlate(target, params)
        if partial.truth.exists():
            _fill(partial, params, job)
        job.check()
        partial.finish()
    return target


def _fill(partial: PartialPlate, params: SimulateParams, job: Job) -> None:
    """Simulate the fields that no earlier run has finished."""
    fields = plan(params)
    todo = [field for field in fields if not partial.is_done(field)]
    per_field = params.time_points
    stop, frames = Event(), queue.SimpleQueue[None]()
    # Threads, not processes: numpy and scipy let go of the interpreter for nearly all
    # of the work, and threads need no __main__ guard in a user's script.
    with ThreadPoolExecutor(max_workers=_workers()) as pool:
        running = [
            pool.submit(_simulate_fov, partial, params, field, frames, stop) for field in todo
        ]
        try:
            ticks = _ticks(running, frames, len(todo) * per_field)
            done = (len(fields) - len(todo)) * per_field
            for _ in job.track(ticks, "Simulating cells", len(fields) * per_field, done):
                pass
            for future in running:
                future.result()
        finally:
            stop.set()
            for future in running:
                future.cancel()


def _workers() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def _ticks(
    running: list[Future[None]], frames: queue.SimpleQueue[None], total: int
) -> Iterator[None]:
    """Yield once per finished frame of any field; a field that fails raises here."""
    for _ in range(total):
        while True:
            try:
                frames.get(timeout=0.2)
                break
            except queue.Empty:
                for future in running:
                    if future.done():
                        future.result()
        yield


def _simulate_fov(
    partial: PartialPlate,
    params: SimulateParams,
    field: FovPlan,
    frames: queue.SimpleQueue[None],
    stop: Event,
) -> None:
    well, number = field.seed_key
    seed = np.random.SeedSequence([params.seed, well, number])
    biology, optics = seed.spawn(2)
    population = simulate_population(params, field.infected, biology)
    renderer = Renderer(params, np.random.SeedSequence([params.seed]), optics)
    truth = TruthRecorder()
    with (
        open_ome_zarr(partial.images / field.name, layout="fov", mode="r+") as images,
        open_ome_zarr(partial.truth / field.name, layout="fov", mode="r+") as labels,
    ):
        assert isinstance(images, Position)
        assert isinstance(labels, Position)
        image, label = images["0"], labels["0"]
        for t, cells in enumerate(population):
            if stop.is_set():
                return
            rendered = renderer.frame(cells, t)
            image[t] = rendered.channels
            label[t] = np.stack(truth.add(rendered, cells, t))
            if t < len(population) - 1:
                frames.put(None)
        partial.finish_fov(field, truth.annotations(field.name))
        frames.put(None)
