"""What a dataset holds and what has been done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.journal import Journal

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset


def summarize(dataset: Dataset) -> dict[str, str]:
    """Describe a dataset and its workspace, a line per fact.

    Only the first FOV's metadata is read, however large the plate.
    """
    facts = {
        "dataset": str(dataset.root),
        "FOVs": f"{len(dataset.fov_names)} in {len(dataset.wells)} wells",
    }
    if dataset.fov_names:
        fov = dataset.fovs[0]
        z, y, x = fov.scale
        interval = fov.frame_interval
        facts |= {
            "channels": ", ".join(fov.channels),
            "shape": f"{fov.shape} (T, Z, Y, X), {fov.dtype}",
            "voxel": f"{z:g} x {y:g} x {x:g} um (z, y, x)",
            "frame interval": f"{interval / 60:g} min" if interval else "unknown",
            "OME-Zarr": fov.ome_version,
        }
    workspace = dataset.workspace
    facts["workspace"] = str(workspace.path) if workspace.path.exists() else "none yet"
    progress = workspace.path / "progress"
    for folder in sorted(progress.iterdir()) if progress.is_dir() else []:
        there = [fov for fov in dataset.fovs if workspace.key(folder.name, fov) is not None]
        old = sum(workspace.outdated(folder.name, fov) for fov in there)
        facts[folder.name] = f"{len(there)} of {len(dataset.fov_names)} FOVs" + (
            f", {old} out of date" if old else ""
        )
    marks = Journal(workspace.journal).states()
    if marks:
        facts["annotations"] = f"{len({(name, node) for name, node, _ in marks})} cells"
    runs = workspace.runs()
    if runs:
        facts["last run"] = f"{runs[-1]['stage']} {runs[-1]['status']} at {runs[-1]['ended']}"
    return facts


def describe(dataset: Dataset) -> str:
    """Say in a few short lines what a dataset is and where its results are.

    Only the first FOV's metadata is read.
    """
    wells, fovs = len(dataset.wells), len(dataset.fov_names)
    size = f"{fovs} FOV{'s' * (fovs > 1)}" + (f" in {wells} wells" if wells > 1 else "")
    lines = [f"{dataset.root.name}: {size}"]
    if dataset.fov_names:
        fov = dataset.fovs[0]
        t, z, y, x = fov.shape
        interval = f", every {fov.frame_interval / 60:g} min" if fov.frame_interval else ""
        stack = f" x {z} slices" if z > 1 else ""
        lines += [
            f"{', '.join(fov.channels)}",
            f"{t} time points{interval}; {y} x {x} pixels{stack} of {fov.scale[2]:g} um",
        ]
    lines.append(f"Results: {dataset.workspace.path}")
    return "\n".join(lines)
