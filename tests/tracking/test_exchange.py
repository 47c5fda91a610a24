"""Tracks written for other tools and read again, and files of other tools."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr import Job, open_dataset, segment, track
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.tables import TRACK_COLUMNS, node_id, validate_tracks
from napari_dynaclr.tracking.exchange.ctc import _continued, unbroken
from napari_dynaclr.tracking.exchange.points import cells_under, draw_discs
from napari_dynaclr.tracking.export import export_tracks
from napari_dynaclr.tracking.tracklets import tracklets

FOV = "B/1/0"
SAME = ["track_id", "t", "id", "parent_track_id", "parent_id"]
needs_geff = pytest.mark.skipif(not find_spec("geff"), reason="the package 'geff' is missing")
FORMATS = ["ultrack", "napari", "ctc", pytest.param("geff", marks=needs_geff)]


def box(image, t, label, y, x, half=3):
    image[t, :, y - half : y + half, x - half : x + half] = label


@pytest.fixture
def movie():
    """Six frames: a division, a gap of two frames, a bystander; labels by track id."""
    labels = np.zeros((6, 1, 40, 60), np.uint16)
    for t in range(3):
        box(labels, t, 1, 10, 10 + t)
    for t in range(3, 6):
        box(labels, t, 2, 6, 12 + t)
        box(labels, t, 3, 15, 12 + t)
    for t in (0, 1, 4, 5):
        box(labels, t, 7, 30, 20 + 2 * t)
    box(labels, 5, 9, 30, 50)
    return labels


LINEAGE = {1: -1, 2: 1, 3: 1, 7: -1, 9: -1}


@pytest.fixture
def tracked(make_plate, movie):
    """A dataset of these tracks, taken from a plate of labels with a CSV as ultrack writes it."""
    source = make_plate("movie.zarr", {"A/1/0": np.ones_like(movie)[:, None]}, scale=(1, 0.5, 0.5))
    truth = make_plate("truth.zarr", {"A/1/0": movie[:, None]}, ("labels",), scale=(1, 0.5, 0.5))
    rows = []
    for t, frame in enumerate(movie):
        for label in np.unique(frame[frame > 0]):
            z, y, x = np.argwhere(frame == label).mean(axis=0)
            parent = LINEAGE[label]
            rows.append((label, t, node_id(t, 100 + int(label)), parent, z, y, x))
    columns = ["track_id", "t", "id", "parent_track_id", "z", "y", "x"]
    pd.DataFrame(rows, columns=columns).to_csv(truth / "A/1/0/tracks.csv", index=False)
    dataset = open_dataset(source)
    take(dataset, truth)
    return dataset


def take(dataset, path, **values):
    return track(dataset, parse("track", "import", {"path": str(path), **values}))


def again(dataset, name):
    """The same data with an empty workspace."""
    return open_dataset(dataset.root, dataset.root.with_name(name))


def pixels(dataset, fov):
    frames = dataset.workspace.labels("tracks", fov).frames(["labels"], allow_empty=True)
    return np.stack([frame[0] for _, frame in frames])


def lineage(tracks):
    """What is linked to what, by time and place: free of how tracks are numbered."""
    place = tracks.set_index("id")[["t", "y", "x"]].round(3).apply(tuple, axis=1)
    links = tracks[tracks["parent_id"] >= 0]
    return {(place[a], place[b]) for a, b in zip(links["parent_id"], links["id"], strict=True)}


def test_a_plate_with_tables_gives_its_labels_its_lineage_and_its_ids(tracked, movie):
    tracks = tracked.workspace.tracks(tracked.fovs[0])
    np.testing.assert_array_equal(pixels(tracked, tracked.fovs[0]), movie)
    parents = tracks.groupby("track_id")["parent_track_id"].first().to_dict()
    assert parents == LINEAGE
    assert tracks["id"].tolist() == [
        node_id(t, 100 + label) for label, t in zip(tracks["track_id"], tracks["t"], strict=True)
    ]
    assert (tracks["area"] == 36).all()


def test_the_truth_of_the_simulated_plate_is_taken_whole(dataset, truth):
    one = dataset.select([FOV])
    take(one, truth)
    given = validate_tracks(pd.read_csv(next((truth / FOV).glob("*.csv"))))
    tracks = one.workspace.tracks(one.fovs[0])
    pd.testing.assert_frame_equal(tracks[SAME], given[SAME])
    labels = open_dataset(truth)[FOV]
    frames = labels.frames([labels.channels[0]], allow_empty=True)
    np.testing.assert_array_equal(pixels(one, one.fovs[0]), [frame[0] for _, frame in frames])


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_written_is_read_again_as_the_same_tracks(tracked, movie, tmp_path, form):
    suffix = {"ctc": "ctc", "geff": "x.geff"}.get(form, "x.csv")
    (written,) = export_tracks(tracked, tmp_path / suffix, form)
    assert written.exists()
    other = again(tracked, "other.dynaclr")
    take(other, written)
    before, after = (d.workspace.tracks(d.fovs[0]) for d in (tracked, other))
    kept = SAME if form in ("ultrack", "geff") else ["track_id", "t", "parent_track_id"]
    pd.testing.assert_frame_equal(after[kept], before[kept])
    assert lineage(after) == lineage(before)
    if form == "ctc":
        np.testing.assert_array_equal(pixels(other, other.fovs[0]), movie)
    np.testing.assert_allclose(after[["z", "y", "x"]], before[["z", "y", "x"]])


@pytest.mark.parametrize("form", FORMATS)
def test_several_fovs_are_a_folder_that_is_read_again(dataset, tmp_path, form):
    processed = dataset.select(["B/1"])
    segment(processed)
    track(processed)
    written = export_tracks(processed, tmp_path / "out", form)
    assert [path.stem for path in written] == [fov.file_name for fov in processed.fovs]
    other = open_dataset(processed.root, tmp_path / "other.dynaclr").select(["B/1"])
    take(other, tmp_path / "out")
    for fov in other.fovs:
        before, after = (d.workspace.tracks(fov) for d in (processed, other))
        assert lineage(after) == lineage(before)


@needs_geff
def test_the_geff_passes_the_validators_of_its_own_package(tracked, tmp_path):
    import geff
    from geff.core_io import read_to_memory
    from geff.validate.data import ValidationConfig

    (path,) = export_tracks(tracked, tmp_path / "x.geff", "geff")
    geff.validate_structure(path)
    graph = read_to_memory(path, data_validation=ValidationConfig(graph=True, tracklet=True))
    assert graph["metadata"].track_node_props == {"tracklet": "track_id"}
    scales = {axis.name: (axis.scale, axis.scaled_unit) for axis in graph["metadata"].axes}
    assert scales == {
        "t": (60, "second"),
        "z": (1, "micrometer"),
        "y": (0.5, "micrometer"),
        "x": (0.5, "micrometer"),
    }


@needs_geff
def test_a_geff_whose_links_were_changed_elsewhere_goes_by_its_links(tracked, tmp_path):
    from geff.core_io import read_to_memory, write_arrays

    (path,) = export_tracks(tracked, tmp_path / "x.geff", "geff")
    graph = read_to_memory(path)
    bystander = graph["edge_ids"] == node_id(5, 107)
    links = graph["edge_ids"][~bystander.any(axis=1)]
    edited = tmp_path / "edited.geff"
    props = {name: dict(values) for name, values in graph["node_props"].items()}
    meta = graph["metadata"]
    meta.track_node_props = None
    write_arrays(edited, graph["node_ids"], props, links, {}, meta)
    other = again(tracked, "other.dynaclr")
    tracks = take(other, edited)
    assert tracks.set_index("id").at[node_id(5, 107), "parent_id"] == -1
    assert len(lineage(tracks)) == len(lineage(tracked.workspace.tracks(tracked.fovs[0]))) - 1


@needs_geff
def test_a_geff_in_um_of_another_tool_is_placed_by_the_voxel_size(tracked, tmp_path):
    import networkx as nx
    from geff import write

    graph = nx.DiGraph()
    for t in range(6):
        graph.add_node(t + 50, frame=t, pos_y=5.0, pos_x=10.0 + t)
    nx.add_path(graph, range(50, 56))
    write(
        graph,
        tmp_path / "um.geff",
        axis_names=["frame", "pos_y", "pos_x"],
        axis_units=[None, "micrometer", "micrometer"],
        axis_types=["time", "space", "space"],
    )
    tracks = take(again(tracked, "other.dynaclr"), tmp_path / "um.geff")
    assert tracks["y"].tolist() == [10.0] * 6
    assert tracks["x"].tolist() == [20.0 + 2 * t for t in range(6)]
    assert (tracks["track_id"] == 1).all()


def test_ctc_knows_no_gaps_so_a_track_with_one_is_parted(tracked, tmp_path):
    (folder,) = export_tracks(tracked, tmp_path / "ctc", "ctc")
    rows = np.loadtxt(folder / "res_track.txt", dtype=int).tolist()
    assert rows == [
        [1, 0, 2, 0], [2, 3, 5, 1], [3, 3, 5, 1], [7, 0, 1, 0], [9, 5, 5, 0], [10, 4, 5, 7]
    ]  # fmt: skip
    for t in range(6):
        mask = tifffile.imread(folder / f"mask{t:03d}.tif")
        assert (mask.dtype, mask.shape) == (np.uint16, (40, 60))
        here = {row[0] for row in rows if row[1] <= t <= row[2]}
        assert set(np.unique(mask)) - {0} == here


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_parting_at_gaps_and_joining_again_changes_no_link(data):
    """Any forest: gaps, divisions, daughters that appear late."""
    rows, pool = [], [(-1, -1)]
    for number in range(1, data.draw(st.integers(1, 8)) + 1):
        parent, end = data.draw(st.sampled_from(pool))
        start = end + data.draw(st.integers(1, 3)) if parent > 0 else data.draw(st.integers(0, 4))
        steps = data.draw(st.lists(st.integers(1, 3), max_size=5))
        times = np.cumsum([start, *steps])
        if parent > 0:
            pool.remove((parent, end))
        rows += [(number, t, parent) for t in times]
        pool += [(number, int(times[-1]))] * 2
    table = pd.DataFrame(rows, columns=["track_id", "t", "parent_track_id"])
    tracks = validate_tracks(table.assign(y=table["track_id"], x=table["t"]))
    parted = unbroken(tracks)
    spans = parted.groupby("number").agg(B=("t", "min"), E=("t", "max"), P=("parent", "first"))
    lengths = parted.groupby("number")["t"].size()
    assert (spans["E"] - spans["B"] + 1 == lengths).all()
    spans.index.name = "L"
    same, parents = _continued(spans)
    joined = parted["number"].map(same)
    pairs = set(zip(joined, parted["track_id"], strict=True))
    only_late = tracks.groupby("track_id").first()
    mothers = only_late["parent_track_id"]
    alone = mothers[mothers > 0].map(mothers.value_counts()) == 1
    gap = [
        only_late.at[child, "t"] > tracks.loc[tracks["track_id"] == mothers[child], "t"].max() + 1
        for child in alone.index
    ]
    merged = set(alone.index[alone & np.array(gap, bool)])
    # The form cannot tell an only daughter that appears late from the other side of a gap.
    assert len({a for a, _ in pairs}) == tracks["track_id"].nunique() - len(merged)
    assert len(parents) == len(set(same.values()))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_tracks_from_links_are_unbroken_and_say_where_they_come_from(data):
    count = data.draw(st.integers(1, 25))
    times = np.array(data.draw(st.lists(st.integers(0, 6), min_size=count, max_size=count)))
    links = []
    for node in range(count):
        earlier = np.flatnonzero(times < times[node])
        if len(earlier) and data.draw(st.booleans()):
            links.append((int(data.draw(st.sampled_from(list(earlier)))), node))
    links = np.array(links, np.int64).reshape(-1, 2)
    tracks, parents = tracklets(times, links)
    assert set(tracks) == set(range(1, tracks.max() + 1))
    children = np.bincount(links[:, 0], minlength=count)
    for before, after in links:
        if children[before] == 1:
            assert tracks[before] == tracks[after]
        else:
            assert tracks[before] != tracks[after]
            assert parents[after] == tracks[before]
    begun = set(range(count)) - set(links[:, 1])
    assert all(parents[node] == -1 for node in begun)
    assert len(set(tracks)) == len(begun) + int((children[links[:, 0]] > 1).sum())


def test_links_that_merge_or_go_back_are_refused():
    with pytest.raises(InvalidInput, match="two cells become one"):
        tracklets(np.array([0, 0, 1]), np.array([[0, 2], [1, 2]]))
    with pytest.raises(InvalidInput, match="forward in time"):
        tracklets(np.array([1, 1]), np.array([[0, 1]]))


def spots(*rows, units="pixel", settings="", kept=(0,), doctype="", edges=()):
    """An XML as TrackMate writes it; rows are (ID, frame, x, y, z, radius)."""
    body = "".join(
        f'<Spot ID="{i}" name="s" FRAME="{t}" POSITION_X="{x}" POSITION_Y="{y}" '
        f'POSITION_Z="{z}" RADIUS="{r}" POSITION_T="{t * 60}" />'
        for i, t, x, y, z, r in rows
    )
    by_track = {}
    for a, b, name in edges:
        by_track.setdefault(name, []).append(
            f'<Edge SPOT_SOURCE_ID="{a}" SPOT_TARGET_ID="{b}" LINK_COST="1" />'
        )
    tracks = "".join(
        f'<Track name="T" TRACK_ID="{n}">{"".join(e)}</Track>' for n, e in by_track.items()
    )
    filtered = "".join(f'<TrackID TRACK_ID="{n}" />' for n in kept)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{doctype}<TrackMate version="7.11.1"><Model '
        f'spatialunits="{units}" timeunits="sec"><AllSpots nspots="{len(rows)}">{body}</AllSpots>'
        f"<AllTracks>{tracks}</AllTracks><FilteredTracks>{filtered}</FilteredTracks></Model>"
        f"{settings}</TrackMate>"
    )


SPLIT = [
    (11, 0, 5, 5, 0, 1.5), (12, 1, 6, 5, 0, 1.5), (13, 4, 9, 5, 0, 1.5),  # a gap of two
    (14, 5, 9, 3, 0, 1.0), (15, 5, 9, 8, 0, 1.0), (16, 0, 25, 15, 0, 2.0), (17, 1, 26, 15, 0, 2.0),
    (18, 3, 1, 1, 0, 1),
]  # fmt: skip
LINKS = [(11, 12, 0), (13, 12, 0), (13, 14, 0), (13, 15, 0), (16, 17, 1)]


@pytest.mark.parametrize("calibrated", [False, True])
def test_trackmate_gives_splits_gaps_and_places_in_its_units(tracked, tmp_path, calibrated):
    file = tmp_path / "tm.xml"
    image = '<Settings><ImageData pixelwidth="0.5" pixelheight="0.5" voxeldepth="1.0" /></Settings>'
    file.write_text(
        spots(*SPLIT, units="micron", edges=LINKS, settings=image if calibrated else "")
    )
    job, other = Job(), again(tracked, "other.dynaclr")
    tracks = track(other, parse("track", "import", {"path": str(file)}), job)
    # Track 1 was filtered out, and spot 18 is in none.
    assert len(tracks) == 5
    assert job.notes == ["tm.xml: 3 spots outside of tracks were left out."]
    mother = tracks[tracks["track_id"] == 1]
    assert mother["t"].tolist() == [0, 1, 4]
    assert mother["x"].tolist() == [10, 12, 18]
    daughters = tracks[tracks["parent_track_id"] == 1]
    assert daughters["t"].tolist() == [5, 5]
    image = pixels(other, other.fovs[0])
    drawn = np.argwhere(image[0, 0] == 1)
    # A disc of 1.5 um where a pixel is 0.5 um: three pixels to either side.
    assert (drawn.min(axis=0).tolist(), drawn.max(axis=0).tolist()) == ([7, 7], [13, 13])


def test_trackmate_that_merges_keeps_the_nearest_link_and_says_so(tracked, tmp_path):
    file = tmp_path / "tm.xml"
    rows = [(1, 0, 5, 5, 0, 2), (2, 0, 15, 5, 0, 2), (3, 1, 7, 5, 0, 2)]
    file.write_text(spots(*rows, edges=[(2, 3, 0), (1, 3, 0)]))
    job = Job()
    tracks = track(
        again(tracked, "other.dynaclr"), parse("track", "import", {"path": str(file)}), job
    )
    assert tracks.sort_values(["t", "x"])["track_id"].tolist() == [1, 2, 1]
    assert "cells become one 1 times" in job.notes[0]


ENTITIES = '<!DOCTYPE a [<!ENTITY x "lol"><!ENTITY y "&x;&x;&x;">]>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (spots(*SPLIT, edges=LINKS, doctype=ENTITIES), "declares a document type"),
        (spots(*SPLIT, edges=LINKS, doctype=EXTERNAL), "declares a document type"),
        (spots(*SPLIT, edges=[]), "has no tracks"),
        (spots(*SPLIT, edges=[(1, 2, 0)]), "a spot that is not there"),
        (spots(*SPLIT, *SPLIT, edges=LINKS), "two spots of the same ID"),
        (spots(*SPLIT, edges=LINKS, units="inch"), "in 'inch'"),
        (spots(*SPLIT, edges=LINKS)[:-30], "no readable XML"),
        ("<svg></svg>", "not of TrackMate"),
        ('<TrackMate><Spot name="a" /></TrackMate>', "lacks 'ID'"),
    ],
)
def test_a_bad_trackmate_file_is_one_line(tracked, tmp_path, text, line):
    file = tmp_path / "bad.xml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=line):
        take(again(tracked, "other.dynaclr"), file)


def test_napari_csv_with_any_case_of_columns_and_its_graph(tracked, tmp_path):
    file = tmp_path / "n.csv"
    rows = [(4, 0, 9, 9), (4, 1, 9, 10), (6, 2, 5, 10), (8, 2, 14, 10)]
    pd.DataFrame(rows, columns=["ID", "t", "Y", "x"]).to_csv(file, index=False)
    (tmp_path / "n.graph.json").write_text('{"6": [4], "8": 4}')
    tracks = take(again(tracked, "other.dynaclr"), file)
    parents = tracks.groupby("track_id")["parent_track_id"].first().to_dict()
    assert parents == {4: -1, 6: 4, 8: 4}
    (tmp_path / "n.graph.json").write_text('{"6": [4, 8]}')
    with pytest.raises(InvalidInput, match="track 6 has 2 parents"):
        take(again(tracked, "third.dynaclr"), file)
    (tmp_path / "n.graph.json").write_text("[]")
    with pytest.raises(InvalidInput, match="no graph of tracks"):
        take(again(tracked, "third.dynaclr"), file)


def test_the_napari_files_open_as_a_tracks_layer(tracked, tmp_path):
    layers = pytest.importorskip("napari.layers")
    (file,) = export_tracks(tracked, tmp_path / "x.csv", "napari")
    table = pd.read_csv(file)
    assert list(table) == ["ID", "T", "Y", "X"]
    graph = json.loads(file.with_suffix(".graph.json").read_text())
    layer = layers.Tracks(table.to_numpy(), graph={int(k): v for k, v in graph.items()})
    assert layer.graph == {2: [1], 3: [1]}


def test_points_take_the_segmented_cells_under_them(make_plate, tmp_path):
    labels = np.zeros((2, 1, 40, 40), np.uint16)
    box(labels, 0, 5, 10, 10, 5)
    box(labels, 0, 9, 30, 30, 5)
    box(labels, 1, 3, 10, 20, 5)
    dataset = open_dataset(make_plate("movie.zarr", {"A/1/0": np.ones_like(labels)[:, None]}))
    file = tmp_path / "points.csv"
    # At t=1, two points share a cell; one point lies in none.
    rows = [(1, 0, 10, 10), (2, 0, 20, 5), (1, 1, 10, 17), (2, 1, 10, 22)]
    pd.DataFrame(rows, columns=["track_id", "t", "y", "x"]).to_csv(file, index=False)
    with pytest.raises(MissingInput, match="segment"):
        take(dataset, file, cells="segmented")
    masks = make_plate("labels.zarr", {"A/1/0": labels[:, None]})
    segment(dataset, parse("segment", "import", {"path": str(masks)}))
    job = Job()
    values = {"path": str(file), "cells": "segmented", "radius": 2}
    track(dataset, parse("track", "import", values), job)
    image = pixels(dataset, dataset.fovs[0])
    np.testing.assert_array_equal(image[0] == 1, labels[0] == 5)
    assert not image[0][labels[0] == 9].any()  # no track goes through it
    assert (image[0] == 2).sum() == 13  # a disc of radius 2
    assert job.notes == ["1 cells of FOV A/1/0 had no pixels and are drawn as discs."]
    assert (image[1] == 1).sum() == (image[1] == 2).sum() == 50
    np.testing.assert_array_equal(image[1] > 0, labels[1] == 3)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12), depth=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_discs_never_overlap_and_every_centre_has_its_pixel(seed, count, depth):
    generator = np.random.default_rng(seed)
    image = np.zeros((depth, 15, 17), np.uint32)
    flat = generator.choice(image.size, count, replace=False)
    places = np.column_stack(np.unravel_index(flat, image.shape)).astype(float)
    numbers = np.arange(1, count + 1)
    radii = generator.uniform(0.1, 6, count)
    draw_discs(image, places, radii, numbers, (2.0, 1.0, 1.0))
    np.testing.assert_array_equal(image[tuple(places.astype(int).T)], numbers)
    for number, place, radius in zip(numbers, places, radii, strict=True):
        away = np.linalg.norm((np.argwhere(image == number) - place) * (2, 1, 1), axis=1)
        assert away.max() <= max(radius, 0)
    whole = image.copy()
    draw_discs(image, places, radii + 3, numbers + 100, (2.0, 1.0, 1.0))
    np.testing.assert_array_equal(image[whole > 0], whole[whole > 0])


def test_points_outside_of_cells_get_nothing():
    labels = np.zeros((1, 5, 5), np.int32)
    assert not cells_under(labels, np.zeros((1, 3)), np.array([4])).any()


BAD = {
    "no_path": ("", "Which tracks"),
    "missing": ("nowhere.csv", "does not exist"),
    "twice": ("track_id,t,y,x\n1,0,5,5\n1,0,6,6\n", "stand there twice"),
    "same_place": ("track_id,t,y,x\n1,0,5,5\n2,0,5,5\n", "has the place of another cell"),
    "late": ("track_id,t,y,x\n1,0,5,5\n1,9,6,6\n", "t = 9, and FOV A/1/0 ends at 5"),
    "outside": ("track_id,t,y,x\n1,0,5,500\n", "x = 500"),
    "orphan": ("track_id,t,y,x,parent_track_id\n1,0,5,5,8\n", "names no track"),
    "no_columns": ("a,b\n1,2\n", "lacks the columns track_id, t, y, x"),
    "empty": ("track_id,t,y,x\n", "holds no tracks"),
    "other_fov": ("fov_name,track_id,t,y,x\nB/2/0,1,0,5,5\n", "no tracks of FOV A/1/0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_one_line(tracked, tmp_path, case):
    text, line = BAD[case]
    path = tmp_path / text if "\n" not in text else tmp_path / "bad.csv"
    if "\n" in text:
        path.write_text(text)
    with pytest.raises(InvalidInput, match=line) as caught:
        take(again(tracked, "other.dynaclr"), path if text else "")
    assert "\n" not in str(caught.value)


def test_one_frame_only_and_empty_frames_are_no_trouble(tracked, tmp_path):
    file = tmp_path / "few.csv"
    file.write_text("track_id,t,y,x\n1,0,5,5\n1,5,6,6\n2,0,20,20\n")
    tracks = take(again(tracked, "other.dynaclr"), file)
    assert tracks["t"].tolist() == [0, 5, 0]
    image = pixels(again(tracked, "other.dynaclr"), tracked.fovs[0])
    assert not image[1:5].any()
    assert set(np.unique(image[5])) == {0, 1}


def test_tables_of_one_fov_are_not_taken_for_several(plate, tmp_path):
    file = tmp_path / "one.csv"
    file.write_text("track_id,t,y,x\n1,0,5,5\n")
    with pytest.raises(InvalidInput, match="is of one FOV and the dataset has several"):
        take(open_dataset(plate, tmp_path / "w.dynaclr"), file)
    file.write_text("fov_name,track_id,t,y,x\nB/1/0,1,0,5,5\nA/1/0,3,0,5,5\n")
    one = open_dataset(plate, tmp_path / "w.dynaclr").select(["B/1/0"])
    assert take(one, file)["track_id"].tolist() == [1]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda f: (f / "mask003.tif").unlink(), "time point 3 is missing"),
        (lambda f: (f / "res_track.txt").write_text("1 0 2 0\n1 0 2 0\n"), "stands there twice"),
        (lambda f: (f / "res_track.txt").write_text("1 0 2 0\n"), "the table does not know"),
        (lambda f: (f / "res_track.txt").write_text("1 0 2\n"), "has 3 columns"),
        (lambda f: (f / "res_track.txt").write_text("1 0 2 4\n"), "there is no track 4"),
        (lambda f: (f / "res_track.txt").write_text("1 0 4 0\n2 3 5 1\n"), "before its parent"),
        (lambda f: (f / "res_track.txt").write_text("a b\n"), "no table of tracks"),
        (lambda f: tifffile.imwrite(f / "mask001.tif", np.zeros((9, 9), "u2")), "has shape"),
        (lambda f: (f / "mask001.tif").write_bytes(b"II*\0"), "not a readable TIFF"),
    ],
)
def test_a_bad_ctc_folder_is_one_line(tracked, tmp_path, change, line):
    (folder,) = export_tracks(tracked, tmp_path / "ctc", "ctc")
    change(folder)
    with pytest.raises(InvalidInput, match=line):
        take(again(tracked, "other.dynaclr"), folder)


def test_labels_of_other_tracks_are_refused(tracked, make_plate, movie, tmp_path):
    wrong = make_plate("wrong.zarr", {"A/1/0": np.roll(movie, 1)[:, None] * 30}, ("labels",))
    shutil.copy(tmp_path / "truth.zarr/A/1/0/tracks.csv", wrong / "A/1/0/tracks.csv")
    with pytest.raises(InvalidInput, match="have no pixels"):
        take(again(tracked, "other.dynaclr"), wrong)
    (wrong / "A/1/0/tracks.csv").unlink()
    with pytest.raises(InvalidInput, match="holds 0 CSV files"):
        take(again(tracked, "other.dynaclr"), wrong)


def test_a_changed_file_is_taken_anew_and_an_unchanged_one_is_not(tracked, tmp_path):
    import os

    file, other = tmp_path / "t.csv", again(tracked, "other.dynaclr")
    file.write_text("track_id,t,y,x\n1,0,5,5\n")
    take(other, file)
    (written,) = (other.workspace.plate("tracks") / "A/1/0").glob("tracks.csv")
    stamp = written.stat().st_mtime_ns
    take(other, file)
    assert written.stat().st_mtime_ns == stamp
    file.write_text("track_id,t,y,x\n1,0,5,5\n2,0,20,20\n")
    os.utime(file, ns=(stamp + 10**9, stamp + 10**9))
    assert len(take(other, file)) == 2


def test_export_keeps_out_of_the_data_the_results_and_full_folders(tracked, tmp_path):
    for place in (tracked.root / "x.csv", tracked.workspace.path / "x.csv"):
        with pytest.raises(InvalidInput, match="lies within"):
            export_tracks(tracked, place)
        assert not place.exists()
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="not empty"):
        export_tracks(tracked, full, "ctc")
    assert (full / "thesis.txt").read_text() == "mine"
    with pytest.raises(InvalidInput, match="is a folder"):
        export_tracks(tracked, full)
    with pytest.raises(MissingInput, match="run 'track' first"):
        export_tracks(again(tracked, "empty.dynaclr"), tmp_path / "x.csv")


def test_a_cancelled_export_leaves_nothing(tracked, tmp_path):
    from napari_dynaclr.core.errors import Cancelled

    job = Job(on_progress=lambda p: job.cancel() if p.done == 3 else None)
    with pytest.raises(Cancelled):
        export_tracks(tracked, tmp_path / "out" / "ctc", "ctc", job)
    assert not list((tmp_path / "out").iterdir())


def test_the_columns_of_an_exported_csv(tracked, tmp_path):
    (file,) = export_tracks(tracked, tmp_path / "x.csv")
    assert list(pd.read_csv(file))[: len(TRACK_COLUMNS)] == TRACK_COLUMNS
