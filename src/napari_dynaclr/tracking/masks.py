"""Masks whose pixel values are track ids already, taken as tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.params import Params
from napari_dynaclr.tracking.movie import Linked, Movie

if TYPE_CHECKING:
    from napari_dynaclr.core.job import Job


class MasksParams(Params):
    """No settings: the same label is the same cell."""


def link(movie: Movie, params: MasksParams, job: Job) -> Linked:
    """Give every node the track its label names; there is no lineage in masks."""
    return Linked(movie.nodes.assign(track_id=movie.nodes["label"], parent_track_id=-1))
