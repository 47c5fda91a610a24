"""Simulated time-lapses with full ground truth."""

from __future__ import annotations

from pathlib import Path

from napari_dynaclr.core.errors import storage_errors
from napari_dynaclr.core.job import Job
from napari_dynaclr.sample.layout import infection_layout
from napari_dynaclr.sample.params import SimulateParams
from napari_dynaclr.sample.phenotypes import PhenotypesParams, phenotype_layout

__all__ = ["PhenotypesParams", "SimulateParams", "simulate"]


def simulate(
    path: str | Path,
    params: SimulateParams | PhenotypesParams | None = None,
    job: Job | None = None,
) -> Path:
    """Make a simulated time-lapse with full ground truth.

    Two OME-Zarr plates: the images at ``path`` (channels Phase, Nuclei, Membrane,
    Sensor) and, beside them, ``<stem>_truth.zarr`` with the channels nucleus_labels
    and cell_labels, whose pixel values are track ids, a ``tracks.csv`` per field and
    one ``annotations.csv``.

    By default it is an infection: row A is mock, row B infected (MOI 5), after the
    Dengue movies of DynaCLR (section B.2). With :class:`PhenotypesParams`, it is a plate
    of wells under different treatments, whose fields differ in their light as well;
    ``conditions.csv`` in the truth says which well is which, and the metadata of each
    field where in its well it lies.

    The same settings give the same pixels, whatever the number of cores, and each
    field is the same whatever other fields there are. An interrupted run goes on
    where it stopped when it is started again with the same settings.

    Parameters
    ----------
    path
        Where to put the plate, as in "demo.zarr".
    params
        Settings of one of the two; the defaults give the infection, with 8 fields of 36
        frames of 512 x 512 pixels.
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
    # Here, since iohub takes seconds to import and a form needs the settings only.
    from napari_dynaclr.core.conditions import FILE as CONDITIONS
    from napari_dynaclr.sample.plate import PartialPlate
    from napari_dynaclr.sample.simulation import fill

    params, job = params or SimulateParams(), job or Job()
    if isinstance(params, PhenotypesParams):
        layout = phenotype_layout(params)
    else:
        layout = infection_layout(params)
    target = Path(path)
    job.check()
    with storage_errors(f"write {target.name}"):
        partial = PartialPlate(target, layout)
        if not partial.filled:
            fill(partial, job)
        job.check()
        partial.finish()
    truth = partial.truth_target
    listed = f"; which well is under which condition is in {truth / CONDITIONS}"
    job.note(f"The truth is in {truth}{listed if layout.conditions else ''}.")
    return target
