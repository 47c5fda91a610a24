"""Peak memory of every stage: a movie four times longer, a plate four times larger."""

from __future__ import annotations

import shutil

from common import HOME, measured, plate, show

STAGES = ("segment", "track", "embed", "project --method pca")
SIZES = {"12 x 2 FOVs": (12, 1), "48 x 2 FOVs": (48, 1), "12 x 8 FOVs": (12, 4)}


def main() -> None:
    peaks: dict[str, dict[str, float]] = {}
    for name, (time_points, fovs) in SIZES.items():
        path = plate(time_points, fovs)
        workspace = HOME / "memory.dynaclr"
        shutil.rmtree(workspace, ignore_errors=True)
        for stage in STAGES:
            command, *options = stage.split()
            _, peak = measured(command, str(path), "--workspace", str(workspace), *options)
            peaks.setdefault(command, {})[name] = peak
        shutil.rmtree(workspace)
    small, long, large = SIZES
    rows: list[dict[str, object]] = [
        {
            "stage": stage,
            **{f"MB, {name}": peak for name, peak in found.items()},
            "ratio, 4 x longer": found[long] / found[small],
            "ratio, 4 x more FOVs": found[large] / found[small],
        }
        for stage, found in peaks.items()
    ]
    show("Peak memory of the whole process (512 x 512 pixels, 4 channels)", rows)


if __name__ == "__main__":
    main()
