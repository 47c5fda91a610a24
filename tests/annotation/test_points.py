from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import annotate, open_dataset, segment, track
from napari_dynaclr.annotation.points import read_points
from napari_dynaclr.core.annotations import current_annotations, write_annotations
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.journal import UNKNOWN, Journal, Mark
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.tables import ANNOTATION_COLUMNS


def boxes(places, shape=(1, 40, 60), half=4):
    movie = np.zeros((len(places), *shape), np.uint16)
    for t, here in enumerate(places):
        for label, (y, x) in here.items():
            movie[t, :, y - half : y + half, x - half : x + half] = label
    return movie


MOVIE = boxes([{5: (10, 10), 9: (30, 40)}, {5: (12, 12), 9: (30, 44)}])


@pytest.fixture
def tracked(make_plate):
    """One FOV, two cells (tracks 5 and 9) over two frames."""
    dataset = open_dataset(make_plate("movie.zarr", {"A/1/0": MOVIE[:, None] + 1}))
    masks = make_plate("labels.zarr", {"A/1/0": MOVIE[:, None]})
    segment(dataset, parse("segment", "import", {"path": str(masks)}))
    track(dataset, parse("track", "masks", {}))
    return dataset


@pytest.fixture
def points(tmp_path, tracked):
    def run(table, **values):
        file = tmp_path / "points.csv"
        if isinstance(table, str):
            file.write_text(table)
        else:
            pd.DataFrame(table).to_csv(file, index=False)
        return annotate(tracked, parse("annotate", "points", {"path": str(file), **values}))

    return run


def test_points_become_states_of_nodes(points, tracked):
    table = points("t,y,x,state\n0,11,9,infected\n1,30,44,uninfected\n")
    assert list(table) == [*ANNOTATION_COLUMNS, "infection_state"]
    assert table[["fov_name", "track_id", "t", "infection_state"]].to_numpy().tolist() == [
        ["A/1/0", 5, 0, "infected"],
        ["A/1/0", 9, 1, "uninfected"],
    ]
    tracks = tracked.workspace.tracks(tracked.fovs[0]).set_index("id")
    for row in table.itertuples():
        node = tracks.loc[row.id]
        assert (node["t"], node["track_id"]) == (row.t, row.track_id)
        assert (node["y"], node["x"]) == (row.y, row.x)
    pd.testing.assert_frame_equal(current_annotations(tracked), table)


def test_naparis_own_export_is_read(points):
    three = "index,axis-0,axis-1,axis-2\n0.0,0.0,11.0,9.0\n1.0,1.0,31.2,43.7\n"
    table = points(three, state="infected")
    assert table["track_id"].tolist() == [5, 9]
    four = "index,axis-0,axis-1,axis-2,axis-3,state\n0,1,0.0,11.0,9.0,remodel\n"
    table = points(four, task="organelle")
    states = table.set_index(["t", "track_id"])["organelle_state"].dropna()
    assert states.to_dict() == {(1, 5): "remodel"}


def test_a_column_of_states_is_taken_before_the_setting(tmp_path):
    file = tmp_path / "points.csv"
    file.write_text("t,y,x,state\n0,1,2,dead\n")
    assert read_points(file, "alive")["state"].tolist() == ["dead"]


def test_a_task_of_ones_own_has_its_column(points):
    table = points("t,y,x,state\n0,11,9,round\n", task="shape")
    assert table["shape_state"].tolist() == ["round"]


def test_numbers_are_states_too(points, tracked):
    points("t,y,x,state\n0,11,9,1\n1,30,44,2\n", task="stage")
    points("t,y,x,state\n0,30,40,mitosis\n", task="division")
    assert current_annotations(tracked)["stage_state"].dropna().tolist() == ["1", "2"]


def test_states_that_pandas_takes_for_blank_are_states(points, tracked):
    points("t,y,x,state\n0,11,9,infected\n", task="infection")
    journal = Journal(tracked.workspace.journal)
    node = tracked.workspace.tracks(tracked.fovs[0]).iloc[0]
    journal.add([Mark("A/1/0", int(node["id"]), 5, 0, 0.0, 10.0, 10.0, "stage", "None")])
    write_annotations(tracked)
    assert current_annotations(tracked)["stage_state"].tolist() == ["None"]
    assert current_annotations(tracked)["infection_state"].tolist() == ["infected"]


def test_several_fovs_need_their_names(processed, tmp_path):
    file = tmp_path / "points.csv"
    file.write_text("t,y,x,state\n0,11,9,infected\n")
    params = parse("annotate", "points", {"path": str(file)})
    with pytest.raises(InvalidInput, match="no column fov_name, but the dataset has 4 FOVs"):
        annotate(processed, params)
    fov = processed.fovs[1]
    node = processed.workspace.tracks(fov).query("t == 0").iloc[0]
    file.write_text(f"t,y,x,state\n0,{node['y']},{node['x']},dead\n")
    params = parse("annotate", "points", {"path": str(file), "task": "death"})
    table = annotate(processed.select([fov.name]), params)
    assert table["cell_death_state"].dropna().tolist() == ["dead"]
    assert table.loc[table["cell_death_state"].notna(), "fov_name"].item() == fov.name


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("t,y,state\n0,1,infected\n", "lacks the column x: it has t, y, state"),
        ("t,y,x\n0,1,1\n", "lacks the column state"),
        ("t,y,x,state\n", "holds no points"),
        ("t,y,x,state\n0,11,9,infected\n0,,9,infected\n", "in row 2, 'y' is blank or no number"),
        ("t,y,x,state\n0,11,nine,infected\n", "in row 1, 'x' is blank or no number"),
        ("t,y,x,state\n0,11,inf,infected\n", "in row 1, 'x' is blank or no number"),
        ("t,z,y,x,state\n0,top,11,9,infected\n", "in row 1, 'z' is no number"),
        ("t,y,x,state\n0,11,9,\n", "in row 1, 'state' is blank"),
        ("t,y,x,state\n2,11,9,infected\n", "at t=2, the movie ends at t=1"),
        ("t,y,x,state\n-1,11,9,infected\n", "at t=-1, the movie ends at t=1"),
        (
            "t,y,x,state\n0,20,25,infected\n",
            r"no cell within 10 um of the point at FOV A/1/0, t=0, y=20, x=25",
        ),
        ("fov_name,t,y,x,state\nA/2/0,0,11,9,infected\n", "no FOV 'A/2/0'"),
        (
            "fov_name,t,y,x,state\nA/1/0,0,11,9,dead\n,0,11,9,dead\n",
            "in row 2, 'fov_name' is blank",
        ),
        ("\x00\x01", "is not a CSV table|lacks the columns"),
        ("", "is not a CSV table"),
    ],
)
def test_each_fault_of_a_table_is_one_line_and_nothing_is_recorded(points, tracked, table, message):
    with pytest.raises(InvalidInput, match=message) as raised:
        points(table)
    assert "\n" not in str(raised.value)
    assert not tracked.workspace.journal.exists()


def test_a_missing_table_is_one_line(tracked, tmp_path):
    with pytest.raises(InvalidInput, match="is no file: check the path of the table of points"):
        annotate(tracked, parse("annotate", "points", {"path": str(tmp_path / "no.csv")}))


def test_without_tracks_it_names_the_stage_to_run(dataset, tmp_path):
    file = tmp_path / "points.csv"
    file.write_text("fov_name,t,y,x,state\nA/1/0,0,11,9,infected\n")
    with pytest.raises(MissingInput, match="run 'track'"):
        annotate(dataset, parse("annotate", "points", {"path": str(file)}))


def test_one_import_is_one_action_to_undo(points, tracked):
    points("t,y,x,state\n0,11,9,infected\n1,30,44,uninfected\n")
    points("t,y,x,state\n0,11,9,uninfected\n", annotator="ada")
    journal = Journal(tracked.workspace.journal)
    assert journal.undo().annotator == "ada"
    write_annotations(tracked)
    assert current_annotations(tracked)["infection_state"].tolist() == ["infected", "uninfected"]
    journal.undo()
    write_annotations(tracked)
    assert current_annotations(tracked).empty


def test_the_same_import_twice_is_one_action(points, tracked):
    table = "t,y,x,state\n0,11,9,infected\n"
    points(table)
    before = tracked.workspace.journal.read_bytes()
    points(table)
    assert tracked.workspace.journal.read_bytes() == before


def test_unknown_stands_in_the_table_and_differs_from_blank(points):
    points(f"t,y,x,state\n0,11,9,{UNKNOWN}\n")
    table = points("t,y,x,state\n1,30,44,mitosis\n", task="division")
    assert table["infection_state"].tolist()[0] == UNKNOWN
    assert table["infection_state"].isna().tolist() == [False, True]


def test_annotations_stay_on_their_cells_when_tracking_is_run_again(points, tracked):
    points("t,y,x,state\n0,11,9,infected\n1,30,44,uninfected\n")
    track(tracked)
    tracks = tracked.workspace.tracks(tracked.fovs[0])
    assert sorted(set(tracks["track_id"])) == [1, 2], "the tracks have other numbers now"
    write_annotations(tracked)
    table = current_annotations(tracked)
    assert table["infection_state"].tolist() == ["infected", "uninfected"]
    assert table[["t", "y"]].to_numpy().tolist() == [[0, 9.5], [1, 29.5]]
    today = tracks.set_index("id")["track_id"]
    assert table["track_id"].tolist() == today.loc[table["id"]].tolist()
