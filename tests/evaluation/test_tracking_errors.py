from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr.evaluation.tracking_drawing import draw_error_free
from napari_dynaclr.evaluation.tracking_errors import ERRORS, count_errors, error_free

EDGES = "false_positive_edges", "false_negative_edges", "identity_switches"


def lineage(*chains):
    """A graph of chains of (cell, time); a cell named twice is one node."""
    built = nx.DiGraph()
    for chain in chains:
        for node in chain:
            built.add_node(node, t=node[1])
        nx.add_path(built, chain)
    return built


def chain(cell, start, stop):
    return [(cell, t) for t in range(start, stop)]


def errors(truth, ours, pairs=None):
    pairs = [(node, node) for node in truth if node in ours] if pairs is None else pairs
    return count_errors(truth, ours, pairs, false_positive_divisions=0, false_negative_divisions=0)


def edges(truth, ours, pairs=None):
    found = errors(truth, ours, pairs).counts
    return tuple(found[name] for name in EDGES)


TWO = lineage(chain("a", 0, 10), chain("b", 0, 10))


def test_the_truth_has_no_errors():
    found = errors(TWO, TWO)
    assert set(found.counts.values()) == {0}
    assert (found.lengths["error_free"] == found.lengths["stretches"]).all()


def test_a_missing_link_is_a_false_negative():
    ours = lineage(chain("a", 0, 5), chain("a", 5, 10), chain("b", 0, 10))
    assert edges(TWO, ours) == (0, 1, 0)


def test_a_link_to_another_cell_is_a_switch_and_costs_the_true_link():
    ours = lineage([*chain("a", 0, 5), *chain("b", 5, 10)], chain("b", 0, 5), chain("a", 5, 10))
    assert edges(TWO, ours) == (0, 2, 1)


def test_links_of_cells_that_are_not_there_are_false_positives():
    ours = lineage(chain("a", 0, 10), chain("b", 0, 10), chain("ghost", 3, 6))
    assert edges(TWO, ours) == (2, 0, 0)


def test_a_gap_over_missed_cells_is_no_switch():
    ours = lineage([*chain("a", 0, 4), *chain("a", 6, 10)], chain("b", 0, 10))
    assert edges(TWO, ours) == (0, 3, 0)


def test_a_gap_to_another_cell_is_a_switch():
    ours = lineage([*chain("a", 0, 4), *chain("b", 6, 10)], chain("a", 6, 10))
    assert edges(TWO, ours)[2] == 1


def test_a_link_over_a_division_is_a_switch():
    """The cell between was missed, and which daughter goes on cannot be known."""
    truth = lineage([*chain("m", 0, 3), *chain("d", 3, 5)], [("m", 2), *chain("e", 3, 5)])
    ours = lineage([*chain("m", 0, 2), *chain("d", 3, 5)])
    assert edges(truth, ours)[2] == 1


def test_errors_are_counted_in_a_thousand_true_links():
    ours = lineage(chain("a", 0, 5), chain("a", 5, 10), chain("b", 0, 10))
    found = errors(TWO, ours).per_thousand()
    assert found["false_negative_edges"] == pytest.approx(1000 / 18)
    assert set(found) == set(ERRORS)
    lonely = lineage(chain("a", 0, 1))
    assert all(np.isnan(value) for value in errors(lonely, lonely).per_thousand().values())


def test_stretches_without_an_error_get_fewer_with_their_length():
    ours = lineage(chain("a", 0, 5), chain("a", 5, 10), chain("b", 0, 10))
    table = error_free([errors(TWO, ours).lengths]).set_index("frames")
    assert table.loc[1, "fraction"] == pytest.approx(17 / 18)
    assert table.loc[4, "fraction"] == pytest.approx((2 + 6) / 12)
    assert table.loc[9, "fraction"] == pytest.approx(1 / 2)
    assert table.index.max() == 9


def test_an_invented_division_breaks_a_stretch():
    ours = lineage(chain("a", 0, 10), chain("b", 0, 10), [("a", 4), ("ghost", 5)])
    table = errors(TWO, ours).lengths.set_index("frames")
    assert table.loc[9, "error_free"] == 1
    assert table.loc[1, "error_free"] == 17


def test_a_stretch_goes_on_through_a_true_division():
    truth = lineage([*chain("m", 0, 3), *chain("d", 3, 6)], [("m", 2), *chain("e", 3, 6)])
    table = errors(truth, truth).lengths.set_index("frames")
    assert table.loc[5, "stretches"] == table.loc[5, "error_free"] == 2


def test_fovs_are_joined_by_length():
    short = lineage(chain("a", 0, 3))
    table = error_free([errors(TWO, TWO).lengths, errors(short, lineage()).lengths])
    first = table.set_index("frames").loc[1]
    assert (first["stretches"], first["error_free"]) == (20, 18)


@given(kept=st.lists(st.booleans(), min_size=18, max_size=18))
@settings(max_examples=30, deadline=None)
def test_stretches_are_those_counted_one_by_one(kept):
    ours = nx.DiGraph()
    ours.add_nodes_from(TWO.nodes(data=True))
    ours.add_edges_from(edge for edge, keep in zip(TWO.edges, kept, strict=True) if keep)
    table = errors(TWO, ours).lengths.set_index("frames")
    for length in (1, 3, 9):
        whole = [
            all(ours.has_edge((cell, t + i), (cell, t + i + 1)) for i in range(length))
            for cell in "ab"
            for t in range(10 - length)
        ]
        assert table.loc[length, "stretches"] == len(whole)
        assert table.loc[length, "error_free"] == sum(whole)


def test_the_curve_is_drawn_with_a_legend_only_for_several():
    curve = pd.DataFrame({"frames": [1, 2], "fraction": [1.0, 0.5]})
    (axes,) = draw_error_free({"": curve}).axes
    assert axes.get_legend() is None
    assert axes.lines[0].get_ydata().tolist() == [100.0, 50.0]
    (axes,) = draw_error_free({"one": curve, "two": curve}).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
