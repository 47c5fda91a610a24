"""Tracks to be corrected, and what has to hold of them whatever is done to them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.tables import node_id, parent_ids, validate_tracks
from napari_dynaclr.tracking.correction import actions


def tracks_of(spans, parents=None):
    """Make a table of tracks: time points by track id; a cell stands at y = 10 * track."""
    rows = [
        {"track_id": track, "t": t, "id": node_id(t, track), "y": 10.0 * track, "x": 5.0 + t}
        for track, times in spans.items()
        for t in times
    ]
    table = pd.DataFrame(rows).assign(z=0.0, area=9, reliability=0.5)
    table["parent_track_id"] = table["track_id"].map(parents or {}).fillna(-1).astype(np.int64)
    return validate_tracks(table)


def check_forest(tracks):
    """Whatever was done, this is a table of tracks that every stage can read."""
    if tracks.empty:
        return
    valid = validate_tracks(tracks, "corrected tracks")
    pd.testing.assert_frame_equal(valid, tracks)
    assert (tracks["parent_id"] == parent_ids(tracks)).all()
    times = tracks.set_index("id")["t"]
    linked = tracks[tracks["parent_id"] >= 0]
    assert (times.loc[linked["parent_id"]].to_numpy() < linked["t"].to_numpy()).all()
    assert (tracks.groupby("track_id")["parent_track_id"].nunique() == 1).all()


def random_action(lineages, rng):
    """Try one action on nodes drawn by chance; None where it is refused."""
    tracks = lineages.tracks
    if len(tracks) < 8:  # so much has been deleted that something has to be added
        now = int(rng.integers(8))
        free = max([node_id(now, 0), *lineages.ids_at(now)]) + 1
        return actions.add(lineages, int(free), now, (0.0, 3.0, 3.0), 2.0, 5)
    one = int(rng.choice(tracks["id"].to_numpy()))
    now = tracks.loc[tracks["id"] == one, "t"].item()
    near = tracks.loc[tracks["t"].between(now - 2, now + 2), "id"].to_numpy()
    other, third = (int(rng.choice(near)) for _ in range(2))
    same = int(rng.choice(tracks.loc[tracks["t"] == now, "id"].to_numpy()))
    name = rng.choice([*ACTIONS])
    try:
        if name == "add":
            free = max(int(max(lineages.ids_at(now))), node_id(now, 0)) + 1
            return actions.add(lineages, free, now, (0.0, 3.0, 3.0), 2.0, 5)
        given = {
            "cut": (one,),
            "undivide": (one,),
            "delete_track": (one,),
            "delete_node": (one,),
            "swap": (one, same),
            "divide": (one, other, third),
        }.get(name, (one, other))
        options = {"replace": bool(rng.integers(2))} if name == "link" else {}
        return getattr(actions, name)(lineages, *given, **options)
    except InvalidInput as error:
        assert "\n" not in str(error)
        return None


ACTIONS = (
    "cut", "link", "swap", "merge", "divide", "undivide", "delete_track", "delete_node", "add",
)  # fmt: skip
