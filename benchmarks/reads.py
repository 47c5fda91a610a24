"""How often each chunk of the source is read in one pass of every stage."""

from __future__ import annotations

import shutil

from common import HOME, counting_reads, plate, show

import napari_dynaclr as nd
from napari_dynaclr.core.normalize import statistics
from napari_dynaclr.core.patches import iter_patches


def main() -> None:
    path = plate(12, 1)
    workspace = HOME / "reads.dynaclr"
    shutil.rmtree(workspace, ignore_errors=True)
    dataset = nd.open_dataset(path, workspace)
    rows: list[dict[str, object]] = []
    with counting_reads(path) as reads:

        def note(what: str) -> None:
            rows.append(
                {
                    "pass": what,
                    "chunks read": len(reads),
                    "reads": sum(reads.values()),
                    "most reads of one chunk": max(reads.values(), default=0),
                }
            )
            reads.clear()

        for fov in dataset.fovs:
            statistics(dataset, fov, fov.channels)
        note("statistics, 4 channels")
        nd.segment(dataset)
        note("segment, 1 channel")
        nd.track(dataset)
        note("track, no channel")
        nd.embed(dataset)
        note("embed, 4 channels")
        for fov in dataset.fovs:
            for _ in iter_patches(fov, dataset.workspace.tracks(fov), fov.channels, (1, 64, 64)):
                pass
        note("patches of all cells, 4 channels")
    shutil.rmtree(workspace)
    show("Reads of the source's chunks (12 time points, 2 FOVs, 4 channels: 96 chunks)", rows)


if __name__ == "__main__":
    main()
