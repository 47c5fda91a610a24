from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr import Job
from napari_dynaclr.evaluation.breaking import break_tracks


@given(seed=st.integers(0, 2**31 - 1), swaps=st.floats(0, 0.5), cuts=st.floats(0, 0.5))
@settings(max_examples=20, deadline=None)
def test_every_step_is_kept_or_broken_once_and_tracks_say_the_same(seed, swaps, cuts):
    import pandas as pd

    from napari_dynaclr.evaluation.trajectories import Trajectories

    table = pd.DataFrame(
        [(track, t, 4.0 * track) for track in range(6) for t in range(9)],
        columns=["track", "t", "y"],
    )
    cells = Trajectories(
        np.ones((len(table), 2), np.float32), table.assign(fov_name="A", parent=-1, z=0.0, x=0.0)
    )
    broken = break_tracks(cells, swaps, cuts, 5.0, seed, Job())
    links = 6 * 8
    assert len(broken.swapped) + len(broken.cut) + len(broken.kept) == links
    starts = np.concatenate([broken.swapped[:, 0], broken.cut[:, 0], broken.kept[:, 0]])
    assert len(set(starts.tolist())) == links
    assert len(broken.cut) <= round(cuts * links)
    assert len(broken.swapped) <= swaps * links + 1
    track, t = table["track"].to_numpy(), table["t"].to_numpy()
    for before, after in broken.swapped:
        assert track[before] != track[after]
        assert t[after] == t[before] + 1
    # An exchange is between neighbours, both ways.
    for one, other in broken.swapped.reshape(-1, 2, 2):
        assert abs(track[one[0]] - track[other[0]]) == 1
        assert (track[one[0]], track[other[0]]) == (track[other[1]], track[one[1]])
    # The new tracks join what is joined and part what is cut.
    joined = np.concatenate([broken.swapped, broken.kept])
    assert (broken.tracks[joined[:, 0]] == broken.tracks[joined[:, 1]]).all()
    assert (broken.tracks[broken.cut[:, 0]] != broken.tracks[broken.cut[:, 1]]).all()
    assert len(np.unique(broken.tracks)) == 6 + len(broken.cut)
    seen = pd.DataFrame({"track": broken.tracks, "t": t})
    assert not seen.duplicated().any(), "a track is at one place at a time"


def test_the_same_seed_breaks_the_same_places(turning):
    one, again, other = (break_tracks(turning, 0.2, 0.1, 6.0, seed, Job()) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.tracks, again.tracks)
    assert not np.array_equal(one.tracks, other.tracks)
    assert len(one.swapped) == round(0.2 * 8 * 19 / 2) * 2
    assert len(one.cut) == round(0.1 * 8 * 19)


def test_cells_without_neighbours_are_not_exchanged(turning):
    assert len(break_tracks(turning, 0.2, 0.0, 4.0, 0, Job()).swapped) == 0


def test_nothing_is_broken_at_a_rate_of_zero(turning):
    broken = break_tracks(turning, 0.0, 0.0, 6.0, 0, Job())
    track = turning.cells["track"].to_numpy()
    assert len(np.unique(broken.tracks)) == len(np.unique(track))
    pairs = set(zip(broken.tracks.tolist(), track.tolist(), strict=True))
    assert len(pairs) == 8


@pytest.mark.parametrize("gap", [5, 12])
def test_a_gap_in_a_track_is_bridged_not_broken(build, gap):
    rows = [(0, t, -1, 0.0) for t in range(20) if t != gap]
    broken = break_tracks(build(rows, np.ones((19, 2))), 0.0, 0.0, 5.0, 0, Job())
    assert len(np.unique(broken.tracks)) == 1
    assert len(broken.kept) == 17
