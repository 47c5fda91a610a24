"""The frame around every stage: provenance, and which FOVs are still to do."""

from __future__ import annotations

import hashlib
import json
import platform
import uuid
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import Cancelled, EmptyFrame, InvalidInput, storage_errors
from napari_dynaclr.core.ledger import now
from napari_dynaclr.core.workspace import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.core.registry import Method
    from napari_dynaclr.core.workspace import Workspace

_LIBRARIES = (
    "napari-dynaclr", "numpy", "scipy", "scikit-image", "scikit-learn", "zarr", "iohub", "torch",
    "timm",
)  # fmt: skip


def result_key(method: Method, params: Params, *inputs: object) -> str:
    """Return what a result depends on as one hash: method, settings and inputs.

    Two results with the same key are the same; a change of settings or of an
    earlier stage changes the key, and the result is made anew.
    """
    text = json.dumps([method.stage, method.name, params.digest(), [str(i) for i in inputs]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def source_key(fov: Fov) -> str:
    """Identify the pixels of a FOV by a glance at them, wherever it is kept."""
    return f"{fov.name}|{fov.shape}|{fov.dtype}|{fov.fingerprint}"


def stain_inputs(dataset: Dataset, fov: Fov, channels: Iterable[str]) -> dict[str, str]:
    """Return the key of the virtual stain, by "stain", if one of the channels is of it.

    What is made from such channels depends on it, and is out of date when it is made anew.

    Raises
    ------
    MissingInput
        If the stain is being made anew.
    """
    made = set(fov.channels) - set(fov.source_channels)
    if made.isdisjoint(channels):
        return {}
    return {"stain": dataset.workspace.require("stain", fov, "virtual stain", "stain")}


def pending(dataset: Dataset, result: str, keys: dict[str, str]) -> tuple[list[Fov], list[Fov]]:
    """Split a dataset's FOVs into those done under the same key and those to do.

    Where cells were added or deleted since, it is to be done again.
    """
    done: list[Fov] = []
    todo: list[Fov] = []
    for fov in dataset.fovs:
        same = dataset.workspace.key(result, fov) == keys[fov.name]
        same = same and not dataset.workspace.edited(result, fov)
        if same:
            dataset.workspace.tidy(result, fov)
        (done if same else todo).append(fov)
    return done, todo


def claimed(workspace: Workspace, result: str, fovs: Iterable[Fov]) -> Iterator[Fov]:
    """Iterate over FOVs, keeping other processes from each while it is worked on.

    Raises
    ------
    InvalidInput
        If another process is at work on a FOV.
    """
    for fov in fovs:
        with workspace.claim(result, fov):
            yield fov


@contextmanager
def recorded(
    dataset: Dataset, method: Method, params: Params, weights: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Run the body as one recorded run of a stage.

    Writes one line to ``runs.jsonl`` when it ends, whether finished, cancelled or
    failed. Disk errors come out as one line.

    Yields
    ------
    dict
        The entry; the body may add facts to it.

    Raises
    ------
    InvalidInput
        If the dataset holds no FOV.
    """
    if not dataset.fov_names:
        raise InvalidInput(f"{dataset.root} has no FOV in it: choose another dataset.")
    workspace = dataset.workspace
    workspace.prepare(dataset.channels)
    entry: dict[str, Any] = {
        "run": uuid.uuid4().hex[:12],
        "stage": method.stage,
        "method": method.name,
        "params": params.model_dump(mode="json"),
        "fovs": dataset.fov_names,
        "weights_sha256": list(weights),
        "versions": _versions(),
        "started": now(),
    }
    status = "failed"
    try:
        with storage_errors(f"{method.stage} {dataset.root.name}", ELSEWHERE):
            yield entry
        status = "finished"
    except Cancelled:
        status = "cancelled"
        raise
    except Exception as error:
        if isinstance(error, EmptyFrame) and "empty_frames" in type(params).model_fields:
            error.offer_to_skip()
        entry["error"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        with storage_errors(f"record the run in {workspace.path}", ELSEWHERE):
            workspace.record({**entry, "status": status, "ended": now()})


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
