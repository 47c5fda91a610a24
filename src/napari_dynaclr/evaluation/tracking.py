"""Tracks against ground truth: CTC measures and divisions through traccuracy, kinds of errors."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import pandas as pd
from pydantic import Field
from traccuracy import TrackingGraph
from traccuracy.matchers import Matched
from traccuracy.metrics import CTCMetrics, DivisionMetrics
from traccuracy.track_errors import _ctc

from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.tables import read_tracks
from napari_dynaclr.evaluation.matching import match_labels, tracks_file
from napari_dynaclr.evaluation.report import Report
from napari_dynaclr.evaluation.tracking_drawing import draw_error_free
from napari_dynaclr.evaluation.tracking_errors import Errors, count_errors, error_free

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job

logging.getLogger("traccuracy").setLevel(logging.ERROR)
# It draws progress bars of its own, which would cut through ours.
_ctc.tqdm = lambda items, *_args, **_kwargs: items


class TrackingParams(Params):
    """Where the truth is."""

    truth: str = Field(
        title="Truth",
        description="OME-Zarr plate of label images by track id, with tracks.csv beside each.",
        json_schema_extra={"path": "folder"},
    )
    channel: str = Field(
        "", title="Channel", description="Channel of the true labels; the first if empty."
    )
    division_tolerance: int = Field(
        1,
        title="Division tolerance (frames)",
        description="A division may be found this many frames early or late.",
        ge=0,
        le=20,
    )


def measure(dataset: Dataset, params: TrackingParams, job: Job) -> Report:
    """Compare the tracks of every FOV with the truth.

    Returns
    -------
    Report
        Per FOV: ``TRA``, ``DET``, ``LNK``, ``division_f1``, ``division_precision``,
        ``division_recall``, the true and found numbers of divisions and nodes, and in 1,000
        true links the errors of the five types of cellect.txt, Fig. 2a
        (:data:`~napari_dynaclr.evaluation.tracking_errors.ERRORS`). A further table and a
        picture show the fraction of stretches without an error by their length (Fig. 2b).

    Raises
    ------
    InvalidInput
        If the truth lacks a FOV or has another shape.
    """
    truth = open_dataset(params.truth)
    rows: list[dict[str, Any]] = []
    errors: list[Errors] = []
    for fov in job.track(dataset.fovs, "evaluate tracking"):
        true_fov = truth.fovs[0] if len(truth.fov_names) == 1 else truth[fov.name]
        if true_fov.shape != fov.shape:
            raise InvalidInput(
                f"The truth of FOV {fov.name} has shape {true_fov.shape}, the FOV has "
                f"{fov.shape} (T, Z, Y, X): give the truth of this dataset."
            )
        scores, found = _compare(dataset, fov, true_fov, params, job)
        rows.append({"fov_name": fov.name, **scores, **found.per_thousand()})
        errors.append(found)
    lengths = error_free(found.lengths for found in errors)
    pictures = {"lengths": draw_error_free({"": lengths})} if len(lengths) else {}
    return Report(pd.DataFrame(rows), pictures=pictures, more={"lengths": lengths})


def _compare(
    dataset: Dataset, fov: Fov, truth: Fov, params: TrackingParams, job: Job
) -> tuple[dict[str, Any], Errors]:
    true_tracks = read_tracks(tracks_file(truth.path))
    our_tracks = dataset.workspace.tracks(fov)
    labels = dataset.workspace.labels("tracks", fov)
    channel = params.channel or truth.channels[0]
    pairs: list[tuple[int, int]] = []
    frames = zip(
        truth.frames([channel], allow_empty=True),
        labels.frames(["labels"], allow_empty=True),
        strict=True,
    )
    true_ids, our_ids = (
        tracks.set_index(["t", "track_id"])["id"].to_dict() for tracks in (true_tracks, our_tracks)
    )
    for (t, true_frame), (_, our_frame) in job.track(
        frames, f"match {fov.name}", total=fov.shape[0]
    ):
        for a, b in match_labels(true_frame[0], our_frame[0]):
            if (t, a) in true_ids and (t, b) in our_ids:
                pairs.append((true_ids[t, a], our_ids[t, b]))
    return score(graph(true_tracks), graph(our_tracks), pairs, params.division_tolerance)


def graph(tracks: pd.DataFrame) -> nx.DiGraph:
    """Build the graph of a tracks table: nodes by ``id``, edges from ``parent_id``."""
    built = nx.DiGraph()
    row: Any
    for row in tracks.itertuples():
        built.add_node(row.id, t=int(row.t), z=row.z, y=row.y, x=row.x, segmentation_id=row.id)
    known = tracks[tracks["parent_id"].isin(tracks["id"])]
    built.add_edges_from(zip(known["parent_id"], known["id"], strict=True))
    return built


def score(
    truth: nx.DiGraph, ours: nx.DiGraph, pairs: list[tuple[int, int]], tolerance: int = 1
) -> tuple[dict[str, Any], Errors]:
    """Score one lineage graph against another.

    Parameters
    ----------
    truth, ours
        From :func:`graph`.
    pairs
        Matched nodes (true id, our id); within a frame the best match first.
    tolerance
        Frames that a division may be early or late.

    Returns
    -------
    tuple
        The scores by name, and the errors.
    """
    ctc = CTCMetrics().compute(_matched(truth, ours, pairs)).results
    # Divisions need each of our cells to be one cell: the one it covers most of.
    single = list({b: (a, b) for a, b in reversed(pairs)}.values())
    found = (
        DivisionMetrics(max_frame_buffer=tolerance)
        .compute(_matched(truth, ours, single), relax_skips_gt=True, relax_skips_pred=True)
        .results
    )
    division = found[f"Frame Buffer {tolerance}"]
    true_divisions = sum(degree > 1 for _, degree in truth.out_degree())
    f1 = _number(division["Division F1"])
    errors = count_errors(
        truth,
        ours,
        single,
        false_positive_divisions=int(division["False Positive Divisions"]),
        false_negative_divisions=int(division["False Negative Divisions"]),
    )
    scores = {
        **{name: float(ctc[name]) for name in ("TRA", "DET", "LNK")},
        # Without a single hit traccuracy divides by zero; all divisions missed are a score.
        "division_f1": 0.0 if true_divisions and np.isnan(f1) else f1,
        "division_precision": _number(division["Division Precision"]),
        "division_recall": _number(division["Division Recall"]),
        "true_divisions": true_divisions,
        "found_divisions": sum(degree > 1 for _, degree in ours.out_degree()),
        "true_nodes": truth.number_of_nodes(),
        "found_nodes": ours.number_of_nodes(),
    }
    return scores, errors


def _matched(truth: nx.DiGraph, ours: nx.DiGraph, pairs: list[tuple[int, int]]) -> Matched:
    # traccuracy writes its findings into the graphs, hence the copies.
    one, other = (
        TrackingGraph(
            built.copy(), frame_key="t", label_key="segmentation_id", location_keys=("y", "x")
        )
        for built in (truth, ours)
    )
    return Matched(one, other, pairs, {"name": "overlap of more than half"})


def _number(value: Any) -> float:
    return float(value) if value is not None else float(np.nan)
