from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from boxes import FOV, node

from napari_dynaclr import correct
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.tables import node_id, validate_tracks
from napari_dynaclr.tracking.correction.corrector import Corrector
from napari_dynaclr.tracking.correction.suspects import KINDS, SUSPECT_COLUMNS, suspects


class Field:
    """What suspects need to know of a FOV."""

    name, shape, scale = FOV, (10, 1, 200, 200), (1.0, 1.0, 1.0)


def calm(count=16):
    """Cells that stay about where they are, far apart, for all ten frames."""
    rng = np.random.default_rng(0)
    rows = [
        (k + 1, t, node_id(t, k + 1), 30 + 40 * (k // 4) + y, 30 + 40 * (k % 4) + x)
        for k in range(count)
        for t in range(10)
        for y, x in [rng.normal(0, 0.5, 2)]
    ]
    table = pd.DataFrame(rows, columns=["track_id", "t", "id", "y", "x"])
    return validate_tracks(table.assign(z=0.0, area=80, reliability=1.0, parent_track_id=-1))


def queue(table, **options):
    table = validate_tracks(table.drop(columns="parent_id"))
    return suspects(table, Field(), **options)


def test_calm_cells_are_not_suspect():
    found = queue(calm())
    assert found.empty
    assert list(found) == SUSPECT_COLUMNS
    assert suspects(calm().iloc[:0], Field()).empty


def test_links_of_low_reliability_come_with_both_ends():
    table = calm()
    table.loc[table["id"] == node_id(4, 3), "reliability"] = 0.2
    (row,) = queue(table).itertuples()
    assert (row.kind, row.id, row.other_id, row.t) == ("link", node_id(4, 3), node_id(3, 3), 4)
    assert row.why == "this link is 20% reliable"
    assert queue(table, below=0.1).empty


def test_a_broken_track_is_one_place_with_its_other_end():
    table = calm()
    table.loc[(table["track_id"] == 6) & (table["t"] >= 5), "track_id"] = 40
    (row,) = queue(table).itertuples()
    assert (row.kind, row.id, row.other_id) == ("appears", node_id(5, 6), node_id(4, 6))
    assert row.why.endswith("track 6 ends nearby at t=4")


def test_what_comes_and_goes_at_the_border_or_with_the_movie_is_not_suspect():
    table = calm()
    table.loc[table["track_id"] == 1, ["y", "x"]] = (3.0, 100.0)
    assert queue(table[~((table["track_id"] == 1) & ~table["t"].between(3, 6))]).empty
    found = queue(table[~((table["track_id"] == 6) & (table["t"] > 6))])
    assert found[["kind", "id"]].to_numpy().tolist() == [["vanishes", node_id(6, 6)]]


def test_a_jump_is_judged_by_the_steps_of_the_others_without_the_drift():
    table = calm()
    table.loc[(table["track_id"] == 6) & (table["t"] >= 5), "x"] += 12.0
    (row,) = queue(table).itertuples()
    assert (row.kind, row.id, row.other_id) == ("jump", node_id(5, 6), node_id(4, 6))
    drifted = calm()
    drifted.loc[drifted["t"] >= 5, "x"] += 12.0
    assert queue(drifted).empty, "the whole field moved"


@pytest.fixture
def dividing():
    """Track 6 divides before t=5, into 41 and 42, on both sides of her."""
    table = calm()
    late = (table["track_id"] == 6) & (table["t"] >= 5)
    one, two = table[late].copy(), table[late].copy()
    for daughter, name, aside in ((one, 41, -5.0), (two, 42, 5.0)):
        daughter["track_id"], daughter["parent_track_id"] = name, 6
        daughter["x"] += aside
        daughter["id"] += name
    return pd.concat([table[~late], one, two], ignore_index=True)


def test_a_division_to_both_sides_is_not_suspect(dividing):
    assert queue(dividing).empty


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d[d["track_id"] != 42], "divides into 1 daughter"),
        (lambda d: d.assign(x=d["x"] + 8.0 * (d["track_id"] == 42) + 5.0 * (d["track_id"] == 41)),
         "the daughters lie to one side of the mother"),
        (lambda d: d.assign(area=d["area"].where(d["track_id"] != 42, 16)),
         "one daughter is 5.0 times the other"),
        (lambda d: d[~((d["track_id"] == 42) & (d["t"] > 6))],
         "a daughter is lost after 2 time points"),
    ],
)  # fmt: skip
def test_divisions_that_are_none_are_suspect(dividing, change, why):
    found = queue(change(dividing))
    divisions = found[found["kind"] == "division"]
    assert divisions["why"].tolist() == [why]
    assert divisions["id"].tolist() == [node_id(4, 6)]


def test_short_fragments_are_suspect():
    table = calm()
    found = queue(table[(table["track_id"] != 6) | table["t"].isin([4, 5])])
    first = found.iloc[0]
    assert (first["kind"], first["id"], first["why"]) == (
        "fragment", node_id(4, 6), "a track of 2 time points",
    )  # fmt: skip


def test_what_was_accepted_does_not_come_back(movie):
    table = correct(movie, parse("correct", "suspects", {}))
    assert set(table["kind"]) <= set(KINDS)
    assert table["score"].is_monotonic_decreasing
    assert table["id"].tolist()[0] == node(2, 4), "track 4 begins in the middle"
    first = table.iloc[0]
    Corrector(movie, FOV).accept(first["kind"], int(first["id"]))
    after = correct(movie, parse("correct", "suspects", {}))
    assert (first["kind"], first["id"]) not in set(zip(after["kind"], after["id"], strict=True))
    Corrector(movie, FOV).undo()
    pd.testing.assert_frame_equal(correct(movie, parse("correct", "suspects", {})), table)
    written = pd.read_csv(movie.workspace.evaluation("suspects"))
    pd.testing.assert_frame_equal(written, table)


def test_the_queue_is_as_long_as_asked(movie):
    given = {"reliability": 1.0, "count": 2}
    assert len(correct(movie, parse("correct", "suspects", given))) == 2
