"""Fill a simulated plate: all fields, in parallel, with progress and cancelling."""

from __future__ import annotations

import os
import queue
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
from iohub.ngff import Position, open_ome_zarr

from napari_dynaclr.sample.population import simulate_population
from napari_dynaclr.sample.rendering import Renderer
from napari_dynaclr.sample.truth import TruthRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.sample.layout import FovPlan
    from napari_dynaclr.sample.plate import PartialPlate


def fill(partial: PartialPlate, job: Job) -> None:
    """Simulate the fields that no earlier run has finished.

    Parameters
    ----------
    partial
        The plate to fill.
    job
        Progress and cancelling.

    Raises
    ------
    Cancelled
        If the job was cancelled; finished fields stay.
    """
    fields = partial.layout.fields
    todo = [field for field in fields if not partial.is_done(field)]
    per_field = partial.layout.movie.time_points
    stop, frames = Event(), queue.SimpleQueue[None]()
    # Threads, not processes: numpy and scipy let go of the interpreter for nearly all
    # of the work, and threads need no __main__ guard in a user's script.
    with ThreadPoolExecutor(max_workers=_workers()) as pool:
        running = [pool.submit(_simulate_fov, partial, field, frames, stop) for field in todo]
        try:
            ticks = _ticks(running, frames, len(todo) * per_field, job)
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
    running: list[Future[None]], frames: queue.SimpleQueue[None], total: int, job: Job
) -> Iterator[None]:
    """Yield once per finished frame of any field; a field that fails raises here."""
    for _ in range(total):
        while True:
            try:
                frames.get(timeout=0.2)
                break
            except queue.Empty:
                job.check()
                for future in running:
                    if future.done():
                        future.result()
        yield


def _simulate_fov(
    partial: PartialPlate,
    field: FovPlan,
    frames: queue.SimpleQueue[None],
    stop: Event,
) -> None:
    params = partial.layout.movie
    well, number = field.seed_key
    seed = np.random.SeedSequence([params.seed, well, number])
    biology, optics = seed.spawn(2)
    population = simulate_population(params, field.infected, biology)
    plate_seed = np.random.SeedSequence([params.seed], spawn_key=(2,))
    renderer = Renderer(params, plate_seed, optics, field.phenotype, field.light)
    truth = TruthRecorder()
    with (
        open_ome_zarr(partial.images / field.name, layout="fov", mode="r+") as images,
        open_ome_zarr(partial.truth / field.name, layout="fov", mode="r+") as labels,
    ):
        assert isinstance(images, Position)
        assert isinstance(labels, Position)
        image, label = images["0"], labels["0"]
        for t, living in enumerate(population):
            if stop.is_set():
                return
            cells = field.phenotype.shape(living)
            rendered = renderer.frame(cells, t)
            image[t] = rendered.channels
            label[t] = np.stack(truth.add(rendered, cells, t))
            if t < len(population) - 1:
                frames.put(None)
        partial.finish_fov(field, truth.annotations(field.name))
        frames.put(None)
