"""Registry: every method of every stage, by name, loaded when it is used.

A new method is one file with one Params class and one function, and one line in
:data:`METHODS`; its command, its form and its contract test follow from that.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from napari_dynaclr.core.params import Params

_ROOT = "napari_dynaclr"
_ELSEWHERE = {
    "train": "learning",
    "correct": "tracking.correction",
    "find": "embedding.events",
    "profile": "profiling",
}
"""Stages whose verb is not in the package that the methods' first names say."""


@dataclass(frozen=True)
class Method:
    """One way to do one stage.

    Attributes
    ----------
    stage
        The verb of the Python and command-line interface, such as "track".
    name
        Short name, unique within the stage.
    title
        What it does, in the user's words.
    module
        Where it lives, relative to the package.
    params
        Name of its Params class in that module.
    extra
        The optional dependency group it needs, if any.
    """

    stage: str
    name: str
    title: str
    module: str
    params: str
    extra: str = ""

    def load(self) -> ModuleType:
        """Import the method's module.

        Raises
        ------
        MissingExtra
            If a package of its extra is not installed.
        """
        try:
            return import_module(f"{_ROOT}.{self.module}")
        except ModuleNotFoundError as error:
            if self.extra and error.name and not error.name.startswith(_ROOT):
                raise MissingExtra(error.name, self.extra) from None
            raise

    def params_class(self) -> type[Params]:
        """Import the method's Params class."""
        found: type[Params] = getattr(self.load(), self.params)
        return found

    def verb(self) -> Callable[..., Any]:
        """Import the function that runs the method's stage."""
        package = _ELSEWHERE.get(self.stage, self.module.partition(".")[0])
        found: Callable[..., Any] = getattr(import_module(f"{_ROOT}.{package}"), self.stage)
        return found


METHODS: tuple[Method, ...] = (
    Method("simulate", "infection", "An infection time-lapse with full ground truth",
           "sample.params", "SimulateParams"),
    Method("simulate", "phenotypes", "Wells under different treatments, in uneven light",
           "sample.phenotypes", "PhenotypesParams"),
    Method("convert", "tiff", "TIFF stacks and folders of TIFFs, Micro-Manager's too",
           "conversion.tiff", "TiffParams"),
    Method("stain", "cytoland", "Nuclei and membranes from label-free images (Cytoland)",
           "staining.method", "StainParams", "torch"),
    Method("segment", "threshold", "Nuclei by local threshold and watershed",
           "segmentation.threshold", "ThresholdParams"),
    Method("segment", "import", "Take existing label images",
           "segmentation.importing", "ImportParams"),
    Method("track", "assignment", "Link by assignment, with gaps and divisions",
           "tracking.assignment", "AssignmentParams"),
    Method("track", "flow", "Link whole windows of frames at once, more slowly",
           "tracking.flow", "FlowParams"),
    Method("track", "laptrack", "LapTrack: link by assignment, with gaps and divisions",
           "tracking.laptrack", "LapTrackParams"),
    Method("track", "ultrack", "Segment and link at once, from nuclei and membranes (ultrack)",
           "tracking.ultrack", "UltrackParams", "ultrack"),
    Method("track", "trackastra", "Link by a transformer that knows how cells move (Trackastra)",
           "tracking.trackastra", "TrackastraParams", "trackastra"),
    Method("track", "cellect", "CELLECT: link, or find and link, by contrastive embeddings",
           "tracking.cellect.method", "CellectParams", "torch"),
    Method("track", "import", "Tracks of another tool: ultrack, CTC, GEFF, TrackMate, napari",
           "tracking.importing", "ImportTracksParams"),
    Method("track", "masks", "Labels already carry track ids",
           "tracking.masks", "MasksParams"),
    Method("correct", "write", "Bring the tracks up to date with what was corrected",
           "tracking.correction.pending", "WriteParams"),
    Method("correct", "edit", "One action, such as cut, link, swap or undo",
           "tracking.correction.editing", "EditParams"),
    Method("correct", "table", "Actions from a table",
           "tracking.correction.tables", "TableParams"),
    Method("correct", "replay", "Repeat on new tracks what was corrected before",
           "tracking.correction.replaying", "ReplayParams"),
    Method("correct", "suspects", "List the places that are likely to be wrong",
           "tracking.correction.reviewing", "SuspectsParams"),
    Method("train", "dynaclr", "DynaCLR: an encoder, by contrast of cells and times",
           "embedding.training.contrastive", "ContrastiveParams", "torch"),
    Method("train", "staining", "Virtual staining: a network, from paired channels",
           "staining.training.paired", "PairedParams", "torch"),
    Method("train", "fcmae", "FCMAE: pre-training on label-free images alone",
           "staining.training.masked", "MaskedParams", "torch"),
    Method("train", "cellect", "CELLECT: a tracker, from centre points",
           "tracking.cellect.training.params", "CellectTrainingParams", "torch"),
    Method("train", "tap", "TAP: dense features, by the arrow of time",
           "embedding.tap.training.params", "TapTrainingParams", "torch"),
    Method("train", "profiler", "SSLProfiler: cells or fields, without labels",
           "embedding.profiler.training.params", "ProfilerTrainingParams", "torch"),
    Method("find", "tap", "Likely events, such as divisions, by the arrow of time (TAP)",
           "embedding.events.tap", "TapEventsParams", "torch"),
    Method("embed", "features", "Engineered features of shape, intensity and texture",
           "embedding.features", "FeaturesParams"),
    Method("embed", "dynaclr", "DynaCLR: a contrastive encoder of patches of cells",
           "embedding.dynaclr.method", "DynaclrParams", "torch"),
    Method("embed", "profiler", "SSLProfiler: a transformer that learned from wells by itself",
           "embedding.profiler.method", "ProfilerParams", "torch"),
    Method("embed", "imagenet", "ConvNeXt trained on ImageNet, to compare with",
           "embedding.imagenet", "ImagenetParams", "torch"),
    Method("embed", "tap", "TAP: dense features that tell the arrow of time, averaged by cell",
           "embedding.tap.method", "TapParams", "torch"),
    Method("project", "phate", "PHATE map",
           "projection.phate", "PhateParams"),
    Method("project", "pca", "Principal components",
           "projection.pca", "PcaParams"),
    Method("project", "umap", "UMAP map",
           "projection.umap", "UmapParams", "umap"),
    Method("profile", "cells", "From cells: the mean of their embedding",
           "profiling.cells", "CellsParams"),
    Method("profile", "fields", "From whole fields, without cells",
           "embedding.profiler.fields", "FieldsParams", "torch"),
    Method("annotate", "points", "Assign points to cells",
           "annotation.points", "PointsParams"),
    Method("annotate", "iohub", "Import napari-iohub's annotation table",
           "annotation.iohub", "IohubParams"),
    Method("annotate", "events", "Accept likely events, such as divisions",
           "annotation.events", "EventsParams"),
    Method("classify", "linear", "Logistic regression on the embedding",
           "classification.linear", "LinearParams"),
    Method("evaluate", "smoothness", "Smoothness and dynamic range of the embedding",
           "evaluation.smoothness", "SmoothnessParams"),
    Method("evaluate", "motion", "Before tracking: how cells move, and what settings suit them",
           "evaluation.motion", "MotionParams"),
    Method("evaluate", "tracking", "Tracks against ground truth",
           "evaluation.tracking", "TrackingParams", "evaluation"),
    Method("evaluate", "classification", "Predictions against ground truth",
           "evaluation.classification", "ClassificationParams"),
    Method("evaluate", "correlation", "Principal components against engineered features",
           "evaluation.correlation", "CorrelationParams"),
    Method("evaluate", "divisions", "Trajectories of mothers and daughters around divisions",
           "evaluation.divisions", "DivisionsParams"),
    Method("evaluate", "events", "Likely events against true divisions",
           "evaluation.events", "EventsScoreParams"),
    Method("evaluate", "robustness", "What the embedding says where tracks are wrong",
           "evaluation.robustness", "RobustnessParams"),
    Method("evaluate", "staining", "Virtual against experimental stain",
           "evaluation.staining", "StainingParams"),
    Method("evaluate", "stain-robustness",
           "How the stain bears blur, noise, contrast and magnification",
           "evaluation.stain_robustness", "StainRobustnessParams", "torch"),
    Method("evaluate", "stain-features", "What the staining network sees, stage by stage",
           "evaluation.stain_features", "StainFeaturesParams", "torch"),
    Method("evaluate", "retrieval", "Whether wells under the same condition are alike",
           "evaluation.retrieval", "RetrievalParams"),
    Method("evaluate", "nuisance", "Whether profiles tell plate, row, column or field",
           "evaluation.nuisance", "NuisanceParams"),
    Method("compare", "encoders", "Encoders trained in several ways, beside each other",
           "comparison.params", "CompareParams", "torch"),
    Method("compare", "trackers", "Engines that track, measured beside each other",
           "comparison.trackers", "TrackersParams", "evaluation"),
    Method("compare", "probes", "From few labels: fixed features against learning from scratch",
           "comparison.probes", "ProbesParams", "torch"),
)  # fmt: skip
"""All methods; the first of a stage is its default."""

MAKERS = ("simulate", "convert")
"""Verbs that make a dataset rather than work on one."""

COMPOSED = ("compare",)
"""Verbs that run several stages."""

STAGES: tuple[str, ...] = tuple(
    dict.fromkeys(method.stage for method in METHODS if method.stage not in (*MAKERS, *COMPOSED))
)
"""Stages that work on a dataset, in the order of the pipeline."""


def methods(stage: str) -> list[Method]:
    """Methods of a stage, the default first.

    Raises
    ------
    InvalidInput
        If there is no such stage.
    """
    found = [method for method in METHODS if method.stage == stage]
    if not found:
        raise InvalidInput(_unknown("stage", stage, list(STAGES)))
    return found


def find_method(stage: str, name: str | None = None) -> Method:
    """Look up a method; the stage's default if no name is given.

    Raises
    ------
    InvalidInput
        If there is no such stage or method.
    """
    known = methods(stage)
    for method in known:
        if name in (None, method.name):
            return method
    raise InvalidInput(
        _unknown(f"method of '{stage}'", str(name), [method.name for method in known])
    )


def resolve(stage: str, params: Params | None) -> tuple[Method, Params]:
    """Find the method that some params belong to.

    Parameters
    ----------
    stage
        The stage that is to run.
    params
        Settings of one of its methods; None for the default method as it is.

    Raises
    ------
    InvalidInput
        If the params belong to no method of the stage.
    """
    if params is None:
        method = methods(stage)[0]
        return method, method.params_class().parse({})
    kind = type(params)
    for method in methods(stage):
        if (f"{_ROOT}.{method.module}", method.params) == (kind.__module__, kind.__name__):
            return method, params
    raise InvalidInput(
        f"{kind.__name__} are not the settings of a method of '{stage}': "
        f"there are {', '.join(m.params for m in methods(stage))}."
    )


def parse(stage: str, name: str | None, values: Mapping[str, Any]) -> Params:
    """Build the params of a method from loose values.

    Raises
    ------
    InvalidInput
        If method or values are not allowed.
    """
    return find_method(stage, name).params_class().parse(values)


def params(stage: str, method: str | None = None, /, **values: Any) -> Params:
    """Return the settings of a method; what is not given keeps its default.

    Parameters
    ----------
    stage
        Such as "track".
    method
        Name of a method of the stage; its default one if omitted.
    **values
        Settings by name, as on the command line.

    Raises
    ------
    InvalidInput
        If there is no such stage, method or setting, or a value is not allowed.

    Examples
    --------
    >>> params("track", "laptrack", max_distance=15).max_distance
    15.0
    """
    return parse(stage, method, values)


def _unknown(kind: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}."
    return f"There is no {kind} '{name}': {hint}"
