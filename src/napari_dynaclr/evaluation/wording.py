"""What measures come to, in sentences: for the terminal, and for whoever shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import pandas as pd


def retrieval_words(table: pd.DataFrame, level: str) -> list[str]:
    """Say what replicate retrieval came to, a sentence for each way to divide the wells.

    Parameters
    ----------
    table
        From :func:`napari_dynaclr.evaluation.retrieval.measure`.
    level
        What was compared: "well", "well_time" or "field".
    """
    said = []
    for row in table[table["condition"] == "all"].to_dict("records"):
        better = "better than" if row["p"] <= 0.05 else "not clearly better than"
        said.append(
            f"{str(row['split']).capitalize()}: the condition is told right for "
            f"{row['accuracy']:.0%} of {int(row['queries'])} {_queries(row, level)}, {better} "
            f"chance ({row['chance']:.0%}, p = {row['p']:.2g})."
        )
    return said


def _queries(row: Mapping[Any, Any], level: str) -> str:
    if level == "well":
        return "wells"
    what = "fields" if level == "field" else "wells and times"
    return f"{what} in {int(row['wells'])} wells"
