"""What tests of profiles came to: read back, and said in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from napari_dynaclr.evaluation.wording import retrieval_words

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset

RETRIEVAL, NUISANCE = "retrieval", "nuisance"
"""Methods of the stage "evaluate" that test profiles."""

_NEEDED = {
    RETRIEVAL: {"split", "condition", "queries", "wells", "accuracy", "chance", "p"},
    NUISANCE: {"nuisance", "score", "chance", "chance_high", "p", "meaning"},
}


@dataclass(frozen=True)
class Outcome:
    """One test of a profile.

    Attributes
    ----------
    method
        :data:`RETRIEVAL` or :data:`NUISANCE`.
    profile, level
        What was tested; the level is "" where that is always the same.
    table
        What it came to, as the method returns it.
    """

    method: str = ""
    profile: str = ""
    level: str = ""
    table: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def of(cls, method: str, params: dict[str, Any], table: pd.DataFrame) -> Outcome:
        """Take what a run with some settings came to."""
        return cls(method, str(params.get("profile", "")), str(params.get("level", "")), table)

    def words(self) -> list[str]:
        """Say what it means, a sentence each."""
        if self.method == NUISANCE:
            return [str(one) for one in self.table["meaning"]]
        return retrieval_words(self.table, self.level)

    def bars(self) -> pd.DataFrame:
        """Return what to draw: ``name``, ``score``, ``chance`` and whether it ``tells``."""
        table = self.table
        if self.method == RETRIEVAL:
            table = table[table["split"] == table["split"].iloc[0]]
            names, score = table["condition"].replace("all", "all conditions"), table["accuracy"]
        else:
            names, score = table["nuisance"], table["score"]
        return pd.DataFrame(
            {
                "name": names.to_numpy(str),
                "score": score.to_numpy(float),
                "chance": table["chance"].to_numpy(float),
                "tells": table["p"].to_numpy(float) <= 0.05,
            }
        )


def last_test(dataset: Dataset, method: str, profile: str) -> Outcome | None:
    """Read what the last test of a profile came to.

    None if it was not tested, or in some of its FOVs only, or if the profile was made anew since.

    Parameters
    ----------
    dataset
        The dataset.
    method
        Which test.
    profile
        Name of the profile.
    """
    workspace = dataset.workspace
    runs = [
        run
        for run in workspace.runs()
        if (run.get("stage"), run.get("method"), run.get("status"))
        == ("evaluate", method, "finished")
        and dict(run.get("params", {})).get("profile") == profile
    ]
    if not runs:
        return None
    result, last = f"profiles.{profile}", runs[-1]
    began, tested = str(last.get("started", "")), set(last.get("fovs", ()))
    for fov in dataset.fovs:
        finished = workspace.finished(result, fov)
        if finished > began or workspace.outdated(result, fov):
            return None
        if finished and fov.name not in tested:
            return None
    try:
        table = pd.read_csv(workspace.path / "evaluation" / str(last.get("table", "")))
    except (OSError, ValueError):
        return None
    if not len(table) or not _NEEDED[method] <= set(table):
        return None
    return Outcome.of(method, dict(last["params"]), table)
