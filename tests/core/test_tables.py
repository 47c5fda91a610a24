from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.tables import (
    TRACK_COLUMNS,
    lineage_roots,
    node_id,
    read_tracks,
    require_columns,
    validate_nodes,
    validate_tracks,
)


def table(**columns):
    base = {
        "track_id": [1, 1, 2, 3],
        "t": [0, 1, 2, 2],
        "id": [11, 12, 13, 14],
        "parent_track_id": [-1, -1, 1, 1],
        "parent_id": [-1, 11, 12, 12],
        "z": [0.0, 0, 0, 0],
        "y": [1.5, 2, 3, 4],
        "x": [5.0, 6, 7, 8],
    }
    return pd.DataFrame({**base, **columns})


def refusal(function, *args):
    with pytest.raises(InvalidInput) as caught:
        function(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_full_table_passes_unchanged():
    pd.testing.assert_frame_equal(validate_tracks(table()), table())


def test_the_input_is_not_changed():
    given_table = table().drop(columns=["z", "id"]).iloc[::-1]
    before = given_table.copy()
    validate_tracks(given_table)
    pd.testing.assert_frame_equal(given_table, before)


def test_rows_are_sorted_and_standard_columns_come_first():
    shuffled = table(note=list("abcd")).sample(frac=1, random_state=3)[
        ["note", "x", "y", "t", "track_id", "parent_track_id", "id", "z", "parent_id"]
    ]
    result = validate_tracks(shuffled)
    assert list(result) == [*TRACK_COLUMNS, "note"]
    assert result["note"].tolist() == list("abcd")
    assert result.index.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["track_id", "t", "y", "x"])
def test_a_missing_column_is_named(name):
    said = refusal(validate_tracks, table().drop(columns=name), "my.csv")
    assert said.startswith(f"my.csv lacks the column {name}: it has ")


def test_all_missing_columns_are_named():
    assert "lacks the columns track_id, x: it has" in refusal(
        validate_tracks, table().drop(columns=["x", "track_id"])
    )


@pytest.mark.parametrize(
    ("name", "default"), [("z", 0), ("parent_track_id", -1), ("parent_id", -1)]
)
@pytest.mark.parametrize("how", ["absent", "blank", "some blank"])
def test_z_and_parents_may_be_missing_or_blank(name, default, how):
    given_table = table()
    if how == "absent":
        given_table = given_table.drop(columns=name)
        expected = [default] * 4
    elif how == "blank":
        given_table[name] = np.nan
        expected = [default] * 4
    else:
        given_table[name] = [np.nan, *given_table[name].astype(float)[1:]]
        expected = [default, *table()[name][1:]]
    if name == "parent_id" and how != "some blank":
        expected = [-1, 11, 12, 12]  # derived: the node before, or the last of the parent
    result = validate_tracks(given_table)
    assert result[name].tolist() == expected


@pytest.mark.parametrize("how", ["absent", "blank"])
def test_ids_are_made_where_there_are_none(how):
    given_table = table().drop(columns="id") if how == "absent" else table(id=[np.nan] * 4)
    result = validate_tracks(given_table)
    assert result["id"].tolist() == [1_000_001, 2_000_001, 3_000_001, 3_000_002]
    assert result["id"].dtype == np.int64


@pytest.mark.parametrize(
    "value", [np.nan, None, "", "cell", np.inf, -np.inf], ids=lambda v: f"{v!r}"
)
@pytest.mark.parametrize("name", ["track_id", "t", "y", "x"])
def test_blank_text_and_infinite_cells_are_refused_by_row(name, value):
    values = table()[name].astype(object)
    values.iloc[2] = value
    said = refusal(validate_tracks, table(**{name: values}), "my.csv")
    assert said == f"my.csv: in row 3, '{name}' is blank or no number: correct the table."


def test_several_bad_rows_are_counted():
    said = refusal(validate_tracks, table(y=["a", 1, "b", "c"]))
    assert "in row 1 and 2 more, 'y'" in said


def test_some_blank_ids_are_refused():
    assert "row 2, 'id' is blank" in refusal(validate_tracks, table(id=[1, np.nan, 3, 4]))


@pytest.mark.parametrize("name", ["track_id", "t", "id", "parent_track_id", "parent_id"])
def test_fractions_are_refused_where_whole_numbers_belong(name):
    values = table()[name].astype(float)
    values.iloc[1] += 0.5
    said = refusal(validate_tracks, table(**{name: values}))
    assert f"in row 2, '{name}' is no whole number" in said


@pytest.mark.parametrize("kind", ["float64", "Int64", "str", "object"])
def test_whole_numbers_of_any_type_become_integers(kind):
    columns = {name: table()[name].astype(kind) for name in TRACK_COLUMNS[:5]}
    result = validate_tracks(table(**columns))
    for name in TRACK_COLUMNS[:5]:
        assert result[name].dtype == np.int64
        assert result[name].tolist() == table()[name].tolist()


def test_nullable_integers_may_be_blank_where_blanks_are_allowed_only():
    blank = pd.array([None, -1, 1, 1], dtype="Int64")
    assert validate_tracks(table(parent_track_id=blank))["parent_track_id"].tolist()[0] == -1
    assert "row 1, 't' is blank" in refusal(
        validate_tracks, table(t=pd.array([None, 1, 2, 2], dtype="Int64"))
    )


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"t": [-1, 1, 2, 2]}, "in row 1, 't' is negative"),
        ({"t": [0, 0, 2, 2]}, "in row 2, the same track_id and t stand there twice"),
        ({"id": [11, 12, 12, 14]}, "in row 3, the same id stands there twice"),
        ({"parent_track_id": [-1, -1, 1, 9]}, "in row 4, 'parent_track_id' names no track"),
    ],
)
def test_impossible_rows_are_refused(columns, says):
    assert says in refusal(validate_tracks, table(**columns))


def test_the_row_named_is_that_of_the_table_as_given():
    reversed_table = table(parent_track_id=[-1, -1, 1, 9]).iloc[::-1].reset_index(drop=True)
    assert "in row 1, 'parent_track_id'" in refusal(validate_tracks, reversed_table)


def test_parents_elsewhere_are_allowed_for_nodes():
    part = table().iloc[2:]
    assert "names no track" in refusal(validate_tracks, part)
    assert validate_nodes(part, "part")["parent_track_id"].tolist() == [1, 1]


def test_a_table_without_rows_passes():
    result = validate_tracks(table().iloc[:0])
    assert list(result) == TRACK_COLUMNS
    assert len(result) == 0
    assert len(validate_tracks(table().iloc[:0].drop(columns=["id", "z"]))) == 0


# -- files


def test_a_file_of_another_tool_is_read(tmp_path):
    (tmp_path / "tracks.csv").write_text(
        "track_id,t,parent_track_id,y,x,remark,area\n2.0,1,1.0,3.5,4,second,\n1,0,,1.5,2,,7.5\n"
    )
    result = read_tracks(tmp_path / "tracks.csv")
    assert result["track_id"].tolist() == [1, 2]
    assert result["parent_track_id"].tolist() == [-1, 1]
    assert result["z"].tolist() == [0, 0]
    assert result["remark"].fillna("").tolist() == ["", "second"]
    assert result["area"].iloc[0] == 7.5


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00\x01", b'a,b\n"1,2\n3', b"a,b\n1,2\n1,2,3\n"]
)
def test_a_file_that_is_no_table_is_one_line(tmp_path, content):
    (tmp_path / "tracks.csv").write_bytes(content)
    assert str(tmp_path / "tracks.csv") in refusal(read_tracks, tmp_path / "tracks.csv")


def test_a_missing_file_and_a_folder_are_one_line(tmp_path):
    assert "is no file" in refusal(read_tracks, tmp_path / "no.csv")
    assert "is no file" in refusal(read_tracks, tmp_path)


@given(
    tracks=st.lists(
        st.tuples(st.integers(1, 9), st.integers(0, 9)), unique=True, min_size=1, max_size=20
    )
)
@settings(deadline=None, max_examples=25)
def test_a_valid_table_survives_writing_and_reading(tmp_path_factory, tracks):
    ids, times = zip(*tracks, strict=True)
    made = validate_tracks(
        pd.DataFrame({"track_id": ids, "t": times, "y": np.arange(len(ids)) / 3, "x": 0.1})
    )
    assert made["id"].is_unique
    path = tmp_path_factory.mktemp("t") / "tracks.csv"
    made.to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_tracks(path), made, check_exact=False)


def test_require_columns():
    require_columns(table(), ["t", "x"], "table")
    assert "lacks the column nope" in refusal(require_columns, table(), ["t", "nope"], "table")


def test_node_ids_are_ultracks():
    assert node_id(0, 1) == 1_000_001
    assert node_id(36, 250) == 37_000_250


# -- lineage


@st.composite
def forests(draw):
    """Parents of tracks 0..n, in any order of the rows; -1 means founder."""
    count = draw(st.integers(1, 25))
    parents = [draw(st.integers(-1, i - 1)) for i in range(count)]
    names = draw(st.permutations(range(1, count + 1)))
    return {names[i]: names[p] if p >= 0 else -1 for i, p in enumerate(parents)}


def walk(parents, track):
    while parents[track] >= 0:
        track = parents[track]
    return track


@given(parents=forests(), length=st.integers(1, 3))
@settings(deadline=None, max_examples=60)
def test_lineage_roots_equal_a_walk_to_the_founder(parents, length):
    rows = [(track, t, parent) for track, parent in parents.items() for t in range(length)]
    tracks = pd.DataFrame(rows, columns=["track_id", "t", "parent_track_id"])
    roots = lineage_roots(tracks)
    assert roots.to_dict() == {track: walk(parents, track) for track in parents}


def test_a_lineage_of_many_generations():
    tracks = pd.DataFrame({"track_id": range(300), "parent_track_id": range(-1, 299)})
    assert set(lineage_roots(tracks)) == {0}


def test_a_lineage_that_bites_its_tail_ends():
    tracks = pd.DataFrame({"track_id": [1, 2], "parent_track_id": [2, 1]})
    assert len(lineage_roots(tracks)) == 2
