"""Trained for minutes on small stacks, CELLECT finds and links the nuclei of others."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import KDTree

from napari_dynaclr import open_dataset, track, train
from napari_dynaclr.core.device import Device
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import parse
from napari_dynaclr.tracking.cellect.checkpoint import load_cellect
from napari_dynaclr.tracking.cellect.detector import Detector
from napari_dynaclr.tracking.cellect.images import normalise

SHAPE = (8, 64, 64)
SCALE = (2.0, 1.0, 1.0)
RADIUS = 5.0
FRAMES, BIRTH = 10, 5


def make_movie(seed):
    """Eight nuclei that wander, of which one divides: image, labels, tracks."""
    rng = np.random.default_rng(seed)
    # The first one divides, where there is room for its daughters.
    places = [rng.uniform((5, 20, 20), (9, 44, 44))]
    while len(places) < 8:
        new = rng.uniform((4, 8, 8), (12, 56, 56))
        away = np.linalg.norm(new - places, axis=1)
        if away[0] > 3.6 * RADIUS and away.min() > 2.2 * RADIUS:
            places.append(new)
    at = dict(enumerate(np.array(places), 1))
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1) * SCALE
    images, labels, rows = [], [], []
    for t in range(FRAMES):
        if t == BIRTH:
            apart = np.array([0, *rng.normal(size=2)])
            apart *= 0.95 * RADIUS / np.linalg.norm(apart)
            mother = at.pop(1)
            at |= {9: mother + apart, 10: mother - apart}
        image, label = np.zeros(SHAPE), np.zeros(SHAPE, np.uint16)
        best = np.full(SHAPE, np.inf)
        for cell, place in at.items():
            at[cell] = place = (place + rng.normal(0, 0.8, 3)).clip((1, 3, 3), (13, 60, 60))
            radius = RADIUS * (0.75 if cell > 8 else 1)
            away = np.linalg.norm(grid - place, axis=-1)
            # A nucleus condenses before it divides.
            bright = 1.4 if cell == 1 and t == BIRTH - 1 else 1.0
            image += bright / (1 + np.exp((away - radius) * 2))
            label[(away <= radius) & (away < best)] = cell
            best = np.minimum(best, away)
            z, y, x = place / SCALE
            rows.append((cell, t, 1 if cell > 8 else -1, z, y, x))
        images.append(100 + 400 * image + rng.normal(0, 15, SHAPE))
        labels.append(label)
    tracks = pd.DataFrame(rows, columns=["track_id", "t", "parent_track_id", "z", "y", "x"])
    return np.array(images)[:, None].astype(np.float32), np.array(labels)[:, None], tracks


def write(make_plate, name, seeds):
    movies = {f"A/1/{i}": make_movie(seed) for i, seed in enumerate(seeds)}
    plate = make_plate(f"{name}.zarr", {f: one[0] for f, one in movies.items()}, scale=SCALE)
    truth = make_plate(
        f"{name}_truth.zarr", {f: one[1] for f, one in movies.items()}, ("labels",), scale=SCALE
    )
    for fov, (_, _, tracks) in movies.items():
        tracks.to_csv(truth / fov / "tracks.csv", index=False)
    return plate, truth, movies


def edges(tracks):
    """Links between nodes, by row."""
    rows = {track: one.sort_values("t").index for track, one in tracks.groupby("track_id")}
    found = {pair for one in rows.values() for pair in pairwise(one)}
    parents = tracks.groupby("track_id")["parent_track_id"].first()
    return found | {(rows[p][-1], rows[track][0]) for track, p in parents.items() if p > 0}


def f1(right, ours, true):
    return 2 * right / (ours + true)


@pytest.mark.slow
def test_nuclei_in_stacks_are_found_linked_and_followed_through_a_division(make_plate, tmp_path):
    plate, truth, _ = write(make_plate, "train", range(1, 13))
    dataset = open_dataset(plate, tmp_path / "train.dynaclr")
    settings = {
        "truth": str(truth), "epochs": 9, "patches": 64, "divisions": 0.5, "batch_size": 4,
        "mlps": "always", "learning_rate": 4e-3, "warm_up": 0.05, "schedule": "cosine",
        "device": "cpu",
    }  # fmt: skip
    table = train(dataset, parse("train", "cellect", settings))
    assert table["centre_f1"].iloc[-1] > 0.9
    weights = dataset.workspace.trained("tracker")

    plate, _, movies = write(make_plate, "test", [20])
    test = open_dataset(plate, tmp_path / "test.dynaclr")
    chosen = {"cells": "own", "preset": "none", "weights": str(weights), "device": "cpu"}
    ours = track(test, parse("track", "cellect", chosen)).reset_index(drop=True)
    true = movies["A/1/0"][2]
    node = {}  # true row by ours
    for t, mine in ours.groupby("t"):
        there = true[true["t"] == t]
        tree = KDTree(there[["z", "y", "x"]].to_numpy() * SCALE)
        away, which = tree.query(mine[["z", "y", "x"]].to_numpy() * SCALE)
        for row, distance, index in zip(mine.index, away, which, strict=True):
            if distance < 0.7 * RADIUS and there.index[index] not in node.values():
                node[row] = there.index[index]
    assert f1(len(node), len(ours), len(true)) >= 0.9
    linked = {(node.get(a), node.get(b)) for a, b in edges(ours)}
    expected = edges(true)
    assert f1(len(linked & expected), len(edges(ours)), len(expected)) >= 0.9
    (mother,) = true.index[(true["track_id"] == 1) & (true["t"] == BIRTH - 1)]
    daughters = set(true.index[(true["track_id"] > 8) & (true["t"] == BIRTH)])
    assert {b for a, b in linked if a == mother} == daughters

    frames = [normalise(one, "scaled") for one in movies["A/1/0"][0][:2, 0]]
    found = [
        Detector(load_cellect(weights).model, Device.CPU, block=block).look(*frames, SCALE, Job())
        for block in (None, 32)
    ]
    assert sorted(map(tuple, found[0].voxels)) == sorted(map(tuple, found[1].voxels))
