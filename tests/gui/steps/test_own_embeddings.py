"""An embedding under a name of its own: mapped next, and then shown."""

from __future__ import annotations

import os
import sys
from types import ModuleType

import pytest
from plain import plain_bench, rest, show, shut
from pydantic import Field
from qtpy.QtCore import Qt

from napari_dynaclr import embed
from napari_dynaclr.core import registry
from napari_dynaclr.core.registry import Method, find_method
from napari_dynaclr.embedding import features
from napari_dynaclr.embedding.features import FeaturesParams
from napari_dynaclr.gui.steps.stage_widgets import EmbedAndProjectWidget

pytestmark = pytest.mark.skipif(
    os.environ.get("QT_QPA_PLATFORM") == "offscreen",
    reason="the map needs OpenGL: install xvfb",
)
LEFT = Qt.MouseButton.LeftButton


class NamedParams(FeaturesParams):
    """Settings of features that are kept under a name."""

    name: str = Field("", title="Name")


@pytest.fixture
def named(monkeypatch):
    """A method of embedding, as quick as features, whose result has a name."""
    module = ModuleType("napari_dynaclr.fakeembed")
    module.embed, module.NamedParams = embed, NamedParams
    module.open_embedder = features.open_embedder
    monkeypatch.setattr(NamedParams, "__module__", "napari_dynaclr.fakeembed")
    monkeypatch.setitem(sys.modules, "napari_dynaclr.fakeembed", module)
    method = Method("embed", "named", "Features under a name", "fakeembed", "NamedParams")
    monkeypatch.setattr(registry, "METHODS", (*registry.METHODS, method))


@pytest.fixture
def widget(processed, named, qtbot):
    bench = plain_bench()
    show(bench, qtbot, processed.root, "B/1/0", processed.workspace.path)
    made = EmbedAndProjectWidget(bench.viewer)
    qtbot.addWidget(made)
    made.resize(500, 800)
    made.show()
    rest(bench, qtbot)
    yield made
    made.close()
    shut(bench, qtbot)


def run(widget, stage, qtbot):
    panel = widget.steps.panels[stage]
    widget.show_stage(stage)
    rest(panel.bench, qtbot)
    qtbot.mouseClick(panel.run_button, LEFT)
    rest(panel.bench, qtbot)
    assert panel.progress.text.text().startswith("finished")
    return panel


def test_it_is_found_mapped_next_and_then_shown(widget, qtbot):
    bench = widget.map.bench
    assert bench.session.cells.embedding == "features"
    assert not widget.map.embedding.isVisible(), "there is but one"
    bench.propose("embed", method="named", name="mine")
    panel = run(widget, "embed", qtbot)
    assert panel.form.params().name == "mine"
    assert bench.embeddings == ["features", "mine"]
    assert widget.map.embedding.isVisible()
    assert bench.session.cells.embedding == "features", "a new one has no map yet"

    project = widget.steps.panels["project"]
    widget.steps.setCurrentIndex(1)
    project.method.setCurrentIndex(project.method.findData("pca"))
    assert project.form.params().embedding == "mine"
    run(widget, "project", qtbot)
    assert bench.session.cells.embedding == "mine"
    assert widget.map.embedding.currentText() == "mine"
    assert list(bench.session.cells.maps) == ["pca"]


def test_what_is_proposed_waits_until_the_form_is_seen(widget, qtbot):
    bench = widget.map.bench
    project = widget.steps.panels["project"]
    assert not project.isVisible()
    bench.propose("project", method="umap", embedding="other")
    assert project.method_name != "umap"
    widget.show_stage("project")
    assert project.method_name == "umap"
    assert bench.proposals == {}


def test_a_proposal_keeps_what_it_says_nothing_of(widget, qtbot):
    panel = widget.steps.panels["embed"]
    panel.show_settings("named", NamedParams(normalization="none", name="old"))
    widget.map.bench.propose("embed", name="new")
    assert panel.method_name == "named"
    assert panel.form.params() == NamedParams(normalization="none", name="new")


def test_a_proposal_comes_through_where_the_form_is_not_allowed_as_it_is(widget, qtbot):
    panel = widget.steps.panels["embed"]
    panel.method.setCurrentIndex(panel.method.findData("dynaclr"))
    if panel._missing:
        pytest.skip("torch is not installed")
    panel.form._editors["patch_size"].set_value(7)
    assert panel.form.problem()
    widget.map.bench.propose("embed", method="dynaclr", name="new")
    assert panel.form.params() == find_method("embed", "dynaclr").params_class()(name="new")


def test_the_form_is_shown_also_if_the_map_has_all_the_room(widget):
    widget.halves.setSizes([1, 0])
    assert widget.halves.sizes()[1] == 0
    widget.show_stage("project")
    assert widget.halves.sizes()[1] > 0
    assert widget.steps.currentIndex() == 1
