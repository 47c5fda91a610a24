from __future__ import annotations

import numpy as np
import pandas as pd

from napari_dynaclr.comparison.report import markdown


def test_the_table_can_be_pasted_with_the_best_in_bold():
    table = pd.DataFrame(
        {
            "experiment": ["One", "Two", "Three"],
            "f1": [0.984, 0.9841, np.nan],
            "f1_sd": [0.005, np.nan, np.nan],
            "smoothness": [0.15, 0.47, 0.2],
            "dynamic_range": [1.33, 0.74, 1.33],
        }
    )
    assert markdown(table, "infected", ["Why."]).splitlines() == [
        "| Experiment | F1 (infected, %) ↑ | Smoothness ↓ | Dynamic range ↑ |",
        "|---|---|---|---|",
        "| One | 98.40 ± 0.50 | **0.150** | **1.330** |",
        "| Two | **98.41** | 0.470 | 0.740 |",
        "| Three | - | 0.200 | **1.330** |",
        "",
        "- Why.",
    ]


def test_a_table_without_scores_is_none_the_worse():
    table = pd.DataFrame(
        {"experiment": ["One"], "f1": [np.nan], "f1_sd": [np.nan], "smoothness": [0.1],
         "dynamic_range": [0.2]}
    )  # fmt: skip
    assert "| One | - | **0.100** | **0.200** |" in markdown(table, "infected", [])
