"""What the benchmarks share: data, a measured subprocess, a table."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

from napari_dynaclr.sample import SimulateParams, simulate

if TYPE_CHECKING:
    from collections.abc import Callable

HOME = Path(gettempdir()) / "napari-dynaclr-benchmarks"


def plate(time_points: int, fovs: int, size: int = 512) -> Path:
    """A simulated plate of one mock and one infected well, made once and kept."""
    path = HOME / f"t{time_points}_f{fovs}_s{size}.zarr"
    if not path.exists():
        params = SimulateParams(
            wells_per_condition=1, fovs_per_well=fovs, time_points=time_points, size=size
        )
        simulate(path, params)
    return path


_MEASURE = """
import pathlib, re, resource, sys
from napari_dynaclr.cli import main
code = 0
try:
    main(sys.argv[1:], standalone_mode=False)
except SystemExit as stop:
    code = stop.code
status = pathlib.Path("/proc/self/status")
if status.exists():  # Linux hands the parent's ru_maxrss on; VmHWM is this program's own
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) * 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("PEAK", peak)
sys.exit(code)
"""


def measured(*arguments: str) -> tuple[float, float]:
    """Run the command line in a process of its own: (seconds, peak memory in MB)."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *arguments], capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - start
    return seconds, int(done.stdout.rpartition("PEAK ")[2]) / 2**20


def in_a_window(script: str, measure: Callable[[], None]) -> None:
    """Measure where there is a screen, else under xvfb-run in a process of its own."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        measure()
    elif shutil.which("xvfb-run"):
        command = ["xvfb-run", "-a", "-s", "-screen 0 1400x900x24", sys.executable, script]
        subprocess.run([*command, *sys.argv[1:]], check=True)
    else:
        print(f"\n{Path(script).name}: skipped, for there is neither a screen nor xvfb-run")


def show(title: str, rows: list[dict[str, object]]) -> None:
    """Print rows as a Markdown table."""
    print(f"\n## {title}\n")
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        cells = (f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values())
        print("| " + " | ".join(cells) + " |", flush=True)
