"""What the benchmarks share: data, processes and what they take, a table."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

import zarr.storage

from napari_dynaclr.sample import SimulateParams, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


class Side:
    """One of those compared, in a process of its own, so that its memory is its own, too."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._process = ProcessPoolExecutor(1, mp_context=context)

    def run[T](self, work: Callable[..., T], *arguments: object) -> T:
        return self._process.submit(work, *arguments).result()

    def close(self) -> None:
        self._process.shutdown()


@dataclass
class Measured:
    """What some work took.

    `done` is how much work it was, to be said by who measures. `processor` are the seconds of
    the processors, those of finished worker processes included; `megabytes` the peak of the
    process' memory meanwhile, known on Linux only.
    """

    done: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    megabytes: float = 0.0


@contextmanager
def measuring() -> Iterator[Measured]:
    """Measure what is done inside."""
    found = Measured()
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")  # the peak starts anew
    start, worked = time.perf_counter(), sum(os.times()[:4])
    yield found
    found.seconds = time.perf_counter() - start
    found.processor = sum(os.times()[:4]) - worked
    if status.exists():
        found.megabytes = int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024


@contextmanager
def counting_reads(path: Path) -> Iterator[Counter[str]]:
    """Count how often this process reads each chunk below a path."""
    reads: Counter[str] = Counter()
    original = zarr.storage._local._get

    def counted(file, *args, **kwargs):
        if file.is_relative_to(path) and "c" in file.parts:
            reads[str(file)] += 1
        return original(file, *args, **kwargs)

    zarr.storage._local._get = counted
    try:
        yield reads
    finally:
        zarr.storage._local._get = original


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
