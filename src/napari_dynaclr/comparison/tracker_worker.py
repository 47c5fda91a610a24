"""One engine at work in a process of its own, so that its time and memory are its own.

Reads what to do from its first argument, as JSON, and prints a line of JSON for every step of
progress and one for the end.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.atomic import write_text
from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import DynaclrError
from napari_dynaclr.core.job import Job, Progress
from napari_dynaclr.core.registry import find_method

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_dynaclr.core.dataset import Dataset

COST = "cost.json"
"""What an engine has cost in a workspace: seconds per frame and bytes at most."""


def work(task: Mapping[str, Any]) -> dict[str, Any]:
    """Track with one engine, and say what it took.

    Parameters
    ----------
    task
        ``dataset``, ``workspace``, ``fovs``, ``method`` and its ``settings``.

    Returns
    -------
    dict
        ``seconds_per_frame``, of the FOVs that were tracked now, or else of when they were,
        and ``peak_memory`` in bytes, None where the system does not tell.
    """
    dataset = open_dataset(task["dataset"], task["workspace"]).select(task["fovs"])
    method = find_method("track", task["method"])
    params = method.params_class().parse(task["settings"])
    before = _finished(dataset)
    began = time.perf_counter()
    job = Job(_say)
    method.verb()(dataset, params, job)
    seconds = time.perf_counter() - began
    after = _finished(dataset)
    made = [fov for fov in dataset.fovs if after[fov.name] != before[fov.name]]
    file = dataset.workspace.path / COST
    if not made and file.exists():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    frames = sum(fov.shape[0] for fov in made)
    cost = {
        "seconds_per_frame": seconds / frames if frames else None,
        "peak_memory": peak_memory(),
        "notes": job.notes,
    }
    write_text(file, json.dumps(cost))
    return cost


def _finished(dataset: Dataset) -> dict[str, str]:
    """When each FOV was tracked, and from what."""
    known = dataset.workspace
    return {
        fov.name: f"{known.finished('tracks', fov)} {known.key('tracks', fov)}"
        for fov in dataset.fovs
    }


def peak_memory() -> int | None:
    """Return the most bytes that this process, or one that it has started, has held at once."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return unit * max(one.ru_maxrss for one in used)


def _say(progress: Progress) -> None:
    _print(progress=[progress.text, progress.done, progress.total])


def _print(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run as a program."""
    try:
        _print(cost=work(json.loads(sys.argv[1])))
    except DynaclrError as error:
        _print(error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
