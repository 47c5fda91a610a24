"""Cells that move, divide and are sometimes missed, with the truth of every link."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from napari_dynaclr.core.job import Job
from napari_dynaclr.tracking.movie import Movie

FLAT = (1.0, 1.0, 1.0)


def moving(
    count=40, frames=12, step=1.5, spacing=20.0, divide=0.02, missed=0.02, seed=0, depth=False
):
    """Nodes, shuffled, with ``cell`` and ``mother``: the true track and that it stems from (-1)."""
    generator = np.random.default_rng(seed)
    axes = 3 if depth else 2
    side = int(np.ceil(count ** (1 / axes)))
    grid = np.stack(np.unravel_index(np.arange(count), (side,) * axes), axis=1)
    place = spacing * (grid + generator.uniform(-0.3, 0.3, grid.shape))
    size = generator.uniform(80, 120, count)
    cell, mother = np.arange(count), np.full(count, -1)
    parts, named = [], count
    for t in range(frames):
        table = pd.DataFrame({"t": t, "area": size, "cell": cell, "mother": mother})
        table[["z", "y", "x"]] = 0.0
        table[["z", "y", "x"][3 - axes :]] = place
        parts.append(table[generator.random(len(table)) >= missed])
        splits = generator.random(len(cell)) < divide
        away = generator.normal(size=(int(splits.sum()), axes))
        away *= 4 / np.linalg.norm(away, axis=1, keepdims=True)
        born = 2 * int(splits.sum())
        place = np.concatenate([place[~splits], place[splits] + away, place[splits] - away])
        half = 0.55 * size[splits]
        size = np.concatenate([size[~splits], half, half])
        mother = np.concatenate([mother[~splits], cell[splits], cell[splits]])
        cell = np.concatenate([cell[~splits], np.arange(named, named + born)])
        named += born
        place[: len(place) - born] += generator.normal(0, step, (len(place) - born, axes))
    nodes = pd.concat(parts).sample(frac=1, random_state=seed, ignore_index=True)
    nodes["label"] = nodes.groupby("t").cumcount() + 1
    return nodes


def linked(module, nodes, params, scale=FLAT, job=None):
    """What a method makes of nodes."""
    movie = Movie(SimpleNamespace(scale=scale, name="A/1/0"), nodes, Path())
    return module.link(movie, params, job or Job()).nodes


def links(table):
    """Pairs of rows that follow each other, from ``track_id`` and ``parent_track_id``."""
    return _links(table, "track_id", "parent_track_id")


def true_links(table):
    """The same of the truth."""
    return _links(table, "cell", "mother")


def _links(table, track, parent):
    table = table.sort_values([track, "t"])
    found = set()
    last = {name: part.index[-1] for name, part in table.groupby(track)}
    for _, part in table.groupby(track):
        rows = list(part.index)
        found.update(pairwise(rows))
        ancestor = last.get(part[parent].iloc[0])
        if ancestor is not None and table.loc[ancestor, "t"] < part["t"].iloc[0]:
            found.add((ancestor, rows[0]))
    return found
