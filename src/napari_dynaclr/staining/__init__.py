"""Virtual staining: images of nuclei and membranes, from label-free ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.plate_writer import FovWriter, is_without
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import claimed, pending, recorded, result_key, source_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.errors import UnreadablePixels
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.staining.stainer import Stainer

RESULT = "stain"

_EMPTY, _UNREADABLE, _FLAT, _WHOLE = "empty", "unreadable", "constant", "stained"


def stain(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Stain every FOV virtually (cytoland.txt).

    Writes ``stain.zarr``: float32 images (T, C, Z, Y, X) with a channel for each
    structure, such as "nuclei_prediction", in chunks of a slice, which from then on are
    channels of the dataset. FOVs that are complete under the same settings are left as they
    are; an interrupted FOV continues after its last finished time point, as it was begun. A
    time point that cannot be read keeps none of the others from being stained. It is tried
    again by each later run, also where its stain was left empty meanwhile.

    Parameters
    ----------
    dataset
        Where the label-free images are.
    params
        Settings of a staining method; the default method if omitted.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        ``fov_name``, ``t``, ``frame`` ("stained"; "empty", "constant" or "unreadable", where
        the stain is zeros), and the mean and 99th percentile of each channel, from every 32nd
        pixel in Y and X.

    Raises
    ------
    InvalidInput
        If the settings or the pixels cannot be used; if some time points cannot be read, when
        all others are done.
    """
    import pandas as pd

    job = job or Job()
    method, params = resolve("stain", params)
    module = method.load()
    workspace = dataset.workspace
    lost: list[str] = []
    try:
        with (
            recorded(dataset, method, params) as entry,
            module.open_stainer(dataset, params, job) as stainer,
        ):
            entry["weights_sha256"] = list(stainer.weights)
            keys = {
                fov.name: result_key(method, params, source_key(fov), *stainer.weights)
                for fov in dataset.fovs
            }
            done, todo = pending(dataset, RESULT, keys)
            work = job.track(todo, "stain", done=len(done), total=len(dataset.fovs))
            blank = params.model_dump().get("unreadable") == "blank"
            for fov in claimed(workspace, RESULT, work):
                key = keys[fov.name]
                still = _still_lost(dataset, fov, key, stainer)
                if still:
                    said = [str(error) for error in still.values()]
                    if blank:
                        for line in said:
                            job.note(f"{line} Its stain is left empty.")
                    else:
                        lost += said
                    continue
                writer = FovWriter(
                    workspace, RESULT, fov, key, stainer.channels, "float32", slices=1
                )
                if not stainer.goes_on(writer.begun):
                    job.note(
                        f"FOV {fov.name} was begun in {writer.begun['format']}, which "
                        f"{stainer.device.value} does not compute in: it is stained anew."
                    )
                    writer.restart()
                lost += _stain_fov(fov, stainer, writer, blank, job)
                if blank or not writer.missing:
                    table = _table(writer.notes, stainer.channels)
                    writer.publish({"stain.csv": table}, without=blank)
            if lost:
                raise InvalidInput(_summary(lost))
    finally:
        # What is published belongs to the dataset, also where the rest failed.
        dataset.refresh()
    tables = [
        pd.read_csv(workspace.plate(RESULT) / name / "stain.csv").assign(fov_name=name)
        for name in dataset.fov_names
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["fov_name", *(name for name in table if name != "fov_name")]]


def _still_lost(
    dataset: Dataset, fov: Fov, key: str, stainer: Stainer
) -> dict[int, UnreadablePixels]:
    """Return what is said of the time points that a finished stain lacks, if none can be read."""
    published = dataset.workspace.key(RESULT, fov)
    if not is_without(published, key):
        return {}
    import pandas as pd

    table = pd.read_csv(dataset.workspace.plate(RESULT) / fov.name / "stain.csv")
    times = [int(t) for t in table["t"][table["frame"] == _UNREADABLE]]
    errors = stainer.lost(fov, times)
    return errors if len(errors) == len(times) else {}


@dataclass
class _Sample:
    """A thin sample of a time point, from which its figures are."""

    parts: list[NDArray[Any]] = field(default_factory=list)

    def add(self, pixels: NDArray[Any]) -> None:
        from napari_dynaclr.core.normalize import GRID

        self.parts.append(pixels[:, :, ::GRID, ::GRID].reshape(len(pixels), -1).copy())

    def note(self) -> dict[str, Any]:
        import numpy as np

        values = np.concatenate(self.parts, axis=1)
        high = np.percentile(values, 99, axis=1)
        figures = [[float(m), float(h)] for m, h in zip(values.mean(axis=1), high, strict=True)]
        return {"frame": _WHOLE, "figures": figures}


def _stain_fov(fov: Fov, stainer: Stainer, writer: FovWriter, blank: bool, job: Job) -> list[str]:
    """Stain what is missing of a FOV; return what is said of time points that cannot be read."""
    lost: list[str] = []
    empty: list[int] = []
    flat: list[int] = []
    todo = writer.missing
    stop = fov.shape[0]
    sample = _Sample()
    parts = stainer.stain_fov(fov, todo, job, writer.begun, writer.remember)

    def time_points() -> Any:
        nonlocal sample
        for part in parts:
            if part.error is None and not part.empty:
                writer.write_slices(part.t, part.z, part.pixels)
                sample.add(part.pixels)
            if part.last:
                yield part
                sample = _Sample()

    for part in job.track(time_points(), fov.name, total=stop, done=stop - len(todo)):
        if part.error is not None:
            if not blank:
                lost.append(str(part.error))
                writer.leave_out(part.t)
                continue
            job.note(f"{part.error} Its stain is left empty.")
            _write_zeros(fov, writer, part.t, len(stainer.channels))
            writer.leave_out(part.t)
        elif part.empty:
            constant = part.empty == "one value"
            (flat if constant else empty).append(part.t)
            _write_zeros(fov, writer, part.t, len(stainer.channels))
            kind = _FLAT if constant else _EMPTY
            writer.finish(part.t, {"frame": kind, "figures": [[0.0, 0.0]] * len(stainer.channels)})
        else:
            writer.finish(part.t, sample.note())
        job.made(writer.part(part.t))
    for times, what in ((empty, "empty"), (flat, "the same everywhere")):
        if times:
            said = ", ".join(map(str, times))
            job.note(f"FOV {fov.name}: {what} at time point {said}; the stain is empty there.")
    return lost


def _write_zeros(fov: Fov, writer: FovWriter, t: int, channels: int) -> None:
    """Write zeros, which later stages take for an empty frame, slice by slice."""
    import numpy as np

    _, depth, height, width = fov.shape
    zeros = np.zeros((channels, 1, height, width), np.float32)
    for z in range(depth):
        writer.write_slices(t, z, zeros)


def _table(notes: Sequence[dict[str, Any] | None], channels: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    left_out = {"frame": _UNREADABLE, "figures": [[0.0, 0.0]] * len(channels)}
    rows = []
    for t, note in enumerate(one or left_out for one in notes):
        row: dict[str, Any] = {"t": t, "frame": note["frame"]}
        for channel, (mean, high) in zip(channels, note["figures"], strict=True):
            row[f"{channel}_mean"], row[f"{channel}_p99"] = round(mean, 6), round(high, 6)
        rows.append(row)
    return pd.DataFrame(rows)


def _summary(lost: Sequence[str]) -> str:
    """One line for all time points that could not be read."""
    each = list(dict.fromkeys(lost))
    if len(each) == 1:
        return f"{each[0]} All else is stained: run again to stain the rest."
    said = [line.removeprefix("Cannot read ").partition(": ")[0] for line in each]
    return (
        f"Cannot read {len(each)} frames: {'; '.join(said)}: chunks are damaged or unreadable. "
        "Restore them from the original data, and run again to stain them; all else is stained."
    )
