"""Places at which tracks are likely to be wrong, for a person to look at, the worst first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from napari_dynaclr.tracking.correction.journal import ACCEPT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.tracking.correction.journal import Recorded

SUSPECT_COLUMNS = [
    "fov_name", "kind", "id", "other_id", "track_id", "t", "z", "y", "x", "score", "why",
]  # fmt: skip
"""Columns of the queue: ``id`` is the node to look at, ``other_id`` the one it is, or should
be, linked to (-1: none is near); place in pixels; ``score`` 0 to 1, the most suspect first."""

KINDS = ("link", "appears", "vanishes", "jump", "division", "fragment")
"""What a place can be suspected of."""

_GAP = 5
"""Frames over which the other end of a broken track is looked for."""

_SHORT = 3
"""Tracks of so few time points are fragments."""

_OUTLIER = 5.0
"""Robust standard deviations above the median from which on a step is a jump."""


def suspects(
    tracks: pd.DataFrame, fov: Fov, *, below: float = 0.6, looked_at: Iterable[Recorded] = ()
) -> pd.DataFrame:
    """List the places of a FOV's tracks that should be looked at.

    Suspect are links of low reliability; tracks that appear or vanish away from the border
    and from the first and last frame; steps that are far longer than those of the other
    cells, the drift of the field left out; divisions with other than two daughters, or with
    daughters that lie to one side of the mother or differ much in size; and short fragments.

    Parameters
    ----------
    tracks
        Tracks of the FOV.
    fov
        The FOV, for its shape (T, Z, Y, X) and voxel size.
    below
        Links of a reliability below this are suspect.
    looked_at
        Corrections in force: places accepted there are left out.

    Returns
    -------
    pandas.DataFrame
        :data:`SUSPECT_COLUMNS`; a node stands there once, for what it is most suspect of.
    """
    if tracks.empty:
        return pd.DataFrame(columns=SUSPECT_COLUMNS)
    field = _Field(tracks.reset_index(drop=True), fov)
    found = pd.concat(
        [_links(field, below), _ends(field), _jumps(field), _divisions(field), _fragments(field)],
        ignore_index=True,
    )
    accepted = {
        (one.correction.kind, one.correction.places[0].id)
        for one in looked_at
        if one.correction.action == ACCEPT
    }
    known = zip(found["kind"], field.id[found["row"]], strict=True)
    fresh = np.array([place not in accepted for place in known], bool)
    found = found[fresh].sort_values("score", ascending=False, kind="stable")
    found = found.drop_duplicates("row", ignore_index=True)
    nodes = field.tracks.iloc[found["row"]].reset_index(drop=True)
    other = found["other"].to_numpy(np.intp)
    result = nodes[["id", "track_id", "t", "z", "y", "x"]].assign(
        fov_name=fov.name,
        kind=found["kind"],
        other_id=np.where(other >= 0, field.id[other], -1),
        score=found["score"].round(3),
        why=found["why"],
    )
    return result[SUSPECT_COLUMNS]


@dataclass(frozen=True)
class _Field:
    """Tracks as columns, with what all kinds of suspicion need to know."""

    tracks: pd.DataFrame
    fov: Fov

    @cached_property
    def id(self) -> NDArray[np.int64]:
        return self.tracks["id"].to_numpy(np.int64)

    @cached_property
    def t(self) -> NDArray[np.int64]:
        return self.tracks["t"].to_numpy(np.int64)

    @cached_property
    def place(self) -> NDArray[np.float64]:
        """Centres in um, (N, 3)."""
        return np.asarray(self.tracks[["z", "y", "x"]].to_numpy(float) * self.fov.scale)

    @cached_property
    def before(self) -> NDArray[np.intp]:
        """Row of the node before, -1 for none, (N,)."""
        row = pd.Series(np.arange(len(self.id)), index=self.id)
        return self.tracks["parent_id"].map(row).fillna(-1).to_numpy(np.intp)

    @cached_property
    def after(self) -> NDArray[np.intp]:
        """How many nodes come after, (N,)."""
        return np.bincount(self.before[self.before >= 0], minlength=len(self.id))

    @cached_property
    def linked(self) -> NDArray[np.intp]:
        """Rows with a node before."""
        return np.flatnonzero(self.before >= 0)

    @cached_property
    def same_track(self) -> NDArray[np.bool_]:
        """Of the linked nodes, which are of the track of the node before."""
        track = self.tracks["track_id"].to_numpy()
        return np.asarray(track[self.linked] == track[self.before[self.linked]])

    @cached_property
    def radius(self) -> float:
        """Radius of a typical cell in um; that of 40 pixels where areas are not known."""
        area = float(self.tracks["area"].median()) if "area" in self.tracks else 40.0
        z, y, x = self.fov.scale
        if self.fov.shape[1] > 1:
            return float((3 * area * z * y * x / (4 * np.pi)) ** (1 / 3))
        return float(np.sqrt(area * y * x / np.pi))

    @cached_property
    def steps(self) -> NDArray[np.float64]:
        """Length of each link in um per root of frames, without the drift of the field."""
        here, above = self.linked, self.before[self.linked]
        vector = self.place[here] - self.place[above]
        drift = pd.DataFrame(vector).groupby(self.t[here]).transform("median").to_numpy()
        many = pd.Series(self.t[here]).groupby(self.t[here]).transform("size").to_numpy() >= 10
        vector = vector - np.where(many[:, None], drift, 0.0)
        frames = self.t[here] - self.t[above]
        return np.asarray(np.linalg.norm(vector, axis=1) / np.sqrt(frames))

    @cached_property
    def typical(self) -> tuple[float, float]:
        """Median and robust standard deviation of :attr:`steps`."""
        if not len(self.steps):
            return 0.0, 1.0
        middle = float(np.median(self.steps))
        spread = 1.4826 * float(np.median(np.abs(self.steps - middle)))
        return middle, max(spread, 0.1 * self.radius)

    @property
    def reach(self) -> float:
        """How far a cell may have gone in a frame, in um."""
        middle, spread = self.typical
        return middle + _OUTLIER * spread + self.radius

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Whether a cell is away from the border of the field, so that it cannot have left it."""
        middle, spread = self.typical
        margin = self.radius + middle + 2 * spread
        size = np.array(self.fov.shape[1:]) * np.asarray(self.fov.scale)
        flat = np.array(self.fov.shape[1:]) == 1
        near = (self.place < margin) | (self.place > size - margin)
        return np.asarray(~(near & ~flat).any(axis=1))


def _table(kind: str, rows: Any, other: Any, score: Any, why: list[str]) -> pd.DataFrame:
    columns = {
        "row": np.asarray(rows, np.intp),
        "other": np.asarray(other, np.intp),
        "score": np.clip(np.asarray(score, float), 0, 1),
    }
    return pd.DataFrame(columns).assign(kind=kind, why=why)


def _links(field: _Field, below: float) -> pd.DataFrame:
    if "reliability" not in field.tracks:
        return _table("link", [], [], [], [])
    sure = field.tracks["reliability"].to_numpy(float)
    rows = field.linked[sure[field.linked] < below]
    why = [f"this link is {sure[row]:.0%} reliable" for row in rows]
    return _table("link", rows, field.before[rows], 0.95 * (1 - sure[rows]), why)


def _jumps(field: _Field) -> pd.DataFrame:
    middle, spread = field.typical
    far = (field.steps - middle) / spread
    # Daughters spring apart; whether it is a division is another question.
    hit = (far > _OUTLIER) & field.same_track
    rows = field.linked[hit]
    why = [f"moved {step:.1f} um in a frame, others {middle:.1f} um" for step in field.steps[hit]]
    return _table("jump", rows, field.before[rows], far[hit] / (far[hit] + _OUTLIER), why)


def _ends(field: _Field) -> pd.DataFrame:
    """Find tracks that begin or end in the middle of field and movie; a gap counts once."""
    first, last = 0, field.fov.shape[0] - 1
    born = np.flatnonzero((field.before < 0) & (field.t > first) & field.inside)
    gone = np.flatnonzero((field.after == 0) & (field.t < last) & field.inside)
    ends = np.flatnonzero(field.after == 0)
    starts = np.flatnonzero(field.before < 0)
    from_, near = _nearest(field, born, ends, -1)
    to, far = _nearest(field, gone, starts, 1)
    # A cell that appears where nothing else was may be new to the plane; one that was
    # there a frame ago is a broken track.
    appear = 0.7 + 0.25 * near
    vanish = 0.65 + 0.25 * far
    bridged = np.isin(gone, from_[from_ >= 0])
    tables = [
        _table("appears", born, from_, appear, [_end("appears", row, field) for row in from_]),
        _table(
            "vanishes",
            gone[~bridged],
            to[~bridged],
            vanish[~bridged],
            [_end("vanishes", row, field) for row in to[~bridged]],
        ),
    ]
    return pd.concat(tables, ignore_index=True)


def _end(what: str, other: int, field: _Field) -> str:
    if other < 0:
        return f"{what} inside the field"
    track, t = field.tracks["track_id"].iat[other], field.t[other]
    does = "ends" if what == "appears" else "begins"
    return f"{what} inside the field; track {track} {does} nearby at t={t}"


def _nearest(
    field: _Field, rows: NDArray[np.intp], among: NDArray[np.intp], way: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the nearest node up to some frames before (-1) or after (1), and how near (0 to 1)."""
    best = np.full(len(rows), -1, np.intp)
    score = np.zeros(len(rows))
    for frames in range(1, _GAP + 1):
        for t in np.unique(field.t[rows]):
            here = np.flatnonzero(field.t[rows] == t)
            there = among[field.t[among] == t + way * frames]
            if not len(there):
                continue
            reach = field.reach * np.sqrt(frames)
            distance, found = cKDTree(field.place[there]).query(field.place[rows[here]])
            near = np.clip(1 - distance / reach, 0, 1) / np.sqrt(frames)
            better = near > score[here]
            best[here[better]] = there[found[better]]
            score[here[better]] = near[better]
    return best, score


def _divisions(field: _Field) -> pd.DataFrame:
    """Judge divisions, and tracks that go on as one daughter."""
    track = field.tracks["track_id"].to_numpy()
    of_track = field.tracks.groupby("track_id").indices
    born = field.linked[~field.same_track]
    rows, other, score, why = [], [], [], []
    area = field.tracks["area"].to_numpy(float) if "area" in field.tracks else None
    born = born[np.argsort(field.before[born], kind="stable")]
    mothers, starts = np.unique(field.before[born], return_index=True)
    for mother, pair in zip(mothers, np.split(born, starts[1:]), strict=len(born) > 0):
        if len(pair) != 2:
            found = [(0.9, f"divides into {len(pair)} daughter{'s' * (len(pair) > 1)}")]
        else:
            one, two = field.place[pair]
            apart = np.linalg.norm(one - two) / 2
            aside = np.linalg.norm((one + two) / 2 - field.place[mother]) / max(apart, 1e-9)
            found = [(aside / (1 + aside), "the daughters lie to one side of the mother")]
            if area is not None:
                ratio = max(area[pair]) / max(min(area[pair]), 1.0)
                found.append(
                    (1 - 1.5 / (ratio + 0.5), f"one daughter is {ratio:.1f} times the other")
                )
            lost = [
                count
                for one in pair
                if (count := _lost_after(field, np.asarray(of_track[track[one]])))
            ]
            if lost:
                found.append((0.75, f"a daughter is lost after {min(lost)} time points"))
        worst = max(found)
        if worst[0] >= 0.4:
            rows.append(mother)
            other.append(pair[0])
            score.append(worst[0])
            why.append(worst[1])
    return _table("division", rows, other, np.array(score), why)


def _lost_after(field: _Field, rows: NDArray[np.intp]) -> int:
    """Return how many time points a track is seen for, if it is short and ends in the field."""
    last = rows[np.argmax(field.t[rows])]
    ends = field.t[last] == field.fov.shape[0] - 1 or field.after[last] or not field.inside[last]
    return 0 if ends or len(rows) > _SHORT else len(rows)


def _fragments(field: _Field) -> pd.DataFrame:
    """Find tracks of a few time points that neither begin nor end with the movie."""
    group = field.tracks.groupby("track_id")["t"]
    spans = group.agg(["size", "min", "max"])
    last = field.fov.shape[0] - 1
    short = spans[(spans["size"] <= _SHORT) & (spans["min"] > 0) & (spans["max"] < last)]
    rows = np.flatnonzero(
        field.tracks["track_id"].isin(short.index) & ~field.tracks.duplicated("track_id")
    )
    rows = rows[field.inside[rows]]
    count = spans["size"].loc[field.tracks["track_id"].iloc[rows]].tolist()
    why = [f"a track of {n} time point{'s' * (n > 1)}" for n in count]
    return _table("fragment", rows, np.full(len(rows), -1), 0.95 - 0.05 * np.array(count), why)
