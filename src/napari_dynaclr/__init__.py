"""Embed, map, annotate and classify live cells: DynaCLR for Python, napari and the shell.

The public interface is :func:`open_dataset`, :func:`params` and one verb per stage,
each loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from napari_dynaclr._version import __version__

if TYPE_CHECKING:
    from napari_dynaclr.annotation import annotate
    from napari_dynaclr.classification import classify
    from napari_dynaclr.comparison import compare
    from napari_dynaclr.conversion import convert
    from napari_dynaclr.core.dataset import Dataset, open_dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.registry import params
    from napari_dynaclr.core.workspace import Workspace
    from napari_dynaclr.embedding import embed
    from napari_dynaclr.evaluation import evaluate
    from napari_dynaclr.learning import train
    from napari_dynaclr.profiling import profile
    from napari_dynaclr.projection import project
    from napari_dynaclr.sample import simulate
    from napari_dynaclr.segmentation import segment
    from napari_dynaclr.staining import stain
    from napari_dynaclr.tracking import track
    from napari_dynaclr.tracking.correction import correct

_WHERE = {
    "open_dataset": "core.dataset",
    "Dataset": "core.dataset",
    "Fov": "core.fov",
    "Job": "core.job",
    "Workspace": "core.workspace",
    "params": "core.registry",
    "simulate": "sample",
    "convert": "conversion",
    "stain": "staining",
    "segment": "segmentation",
    "track": "tracking",
    "correct": "tracking.correction",
    "embed": "embedding",
    "train": "learning",
    "project": "projection",
    "profile": "profiling",
    "annotate": "annotation",
    "classify": "classification",
    "evaluate": "evaluation",
    "compare": "comparison",
}

__all__ = [
    "Dataset",
    "Fov",
    "Job",
    "Workspace",
    "__version__",
    "annotate",
    "classify",
    "compare",
    "convert",
    "correct",
    "embed",
    "evaluate",
    "open_dataset",
    "params",
    "profile",
    "project",
    "segment",
    "simulate",
    "stain",
    "track",
    "train",
]


def __getattr__(name: str) -> object:
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
