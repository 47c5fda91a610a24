from __future__ import annotations

from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from napari._app_model import get_app_model
from napari._app_model.constants._menus import MenuId
from plain import rest

import napari_dynaclr
from napari_dynaclr.gui.open import samples
from napari_dynaclr.gui.reader import get_reader
from napari_dynaclr.gui.steps.stage_widgets import SegmentAndTrackWidget
from napari_dynaclr.gui.view import View
from napari_dynaclr.gui.workbench import workbench

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

PLUGIN = "napari-dynaclr"
FILE = Path(napari_dynaclr.__file__).with_name("napari.yaml")
MANIFEST = yaml.safe_load(FILE.read_text(encoding="utf-8"))["contributions"]
NAMES = [widget["display_name"] for widget in MANIFEST["widgets"]]


@pytest.mark.parametrize("command", MANIFEST["commands"], ids=lambda one: one["id"])
def test_every_command_can_be_imported(command):
    module, _, name = command["python_name"].partition(":")
    assert callable(getattr(import_module(module), name))
    assert command["id"].startswith(f"{PLUGIN}.")


def test_every_command_is_offered_and_every_offer_has_its_command():
    known = {command["id"] for command in MANIFEST["commands"]}
    assert {one["command"] for kind in ("widgets", "readers") for one in MANIFEST[kind]} == known
    assert len(set(NAMES)) == len(NAMES)


def test_every_widget_is_in_a_menu_that_napari_has():
    offered = set()
    for menu, items in MANIFEST["menus"].items():
        assert menu in {member.value for member in MenuId.contributables()}
        offered |= {item["command"] for item in items}
    assert offered == {widget["command"] for widget in MANIFEST["widgets"]}


def test_a_menu_opens_the_widget_that_the_plugin_menu_opens(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    get_app_model().commands.execute_command(f"{PLUGIN}.open_dataset").result()
    docks = dict(viewer.window.dock_widgets)
    assert [name for name in docks if "Open dataset" in name] == [f"Open dataset ({PLUGIN})"]
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Open dataset")
    assert widget in docks.values()
    rest(workbench(viewer), qtbot)
    workbench(viewer).close()


def test_every_sample_has_its_reader():
    for sample in MANIFEST["sample_data"]:
        assert sample["reader_plugin"] == PLUGIN
        assert get_reader(sample["uri"]) is not None
        patterns = [pattern for one in MANIFEST["readers"] for pattern in one["filename_patterns"]]
        assert any(fnmatch(sample["uri"], pattern) for pattern in patterns)


def test_the_manifest_of_the_checkout_is_that_of_the_package():
    checkout = FILE.parents[2] / "napari.yaml"
    if not checkout.exists():
        pytest.skip("the package is not in a checkout")
    assert checkout.read_text(encoding="utf-8") == FILE.read_text(encoding="utf-8")


def views(widget: QWidget) -> list[View]:
    return [one for one in (widget, *widget.findChildren(View)) if isinstance(one, View)]


def test_every_widget_opens_in_its_own_viewer(make_napari_viewer, qtbot):
    first, second = make_napari_viewer(), make_napari_viewer()
    for name in NAMES:
        _, widget = first.window.add_plugin_dock_widget(PLUGIN, name)
        found = views(widget)
        assert found, name
        assert {id(view.bench) for view in found} == {id(workbench(first))}, name
    _, widget = second.window.add_plugin_dock_widget(PLUGIN, NAMES[0])
    assert views(widget)[0].bench is workbench(second)
    assert workbench(first) is not workbench(second)
    for viewer in (first, second):
        rest(workbench(viewer), qtbot)
        workbench(viewer).close()


def test_the_readers_and_the_sample_are_known_to_napari(
    make_napari_viewer, plate, qtbot, monkeypatch
):
    monkeypatch.setattr(samples, "sample_path", lambda: plate)
    viewer = make_napari_viewer()
    bench = workbench(viewer)
    viewer.open(str(plate / "B" / "1"), plugin=PLUGIN)
    qtbot.waitUntil(lambda: bench.session.fov is not None, timeout=20_000)
    rest(bench, qtbot)
    assert bench.session.fov.name == "B/1/0"
    assert len(viewer.layers) == 4

    viewer.open_sample(PLUGIN, "infection")
    qtbot.waitUntil(lambda: _name(bench) == "A/1/0", timeout=20_000)
    rest(bench, qtbot)
    assert len(bench.session.dataset.fov_names) == 4
    bench.close()


def _name(bench) -> str:
    return bench.session.fov.name if bench.session.fov is not None else ""


def test_settings_and_what_is_shown_survive_closing_and_opening(make_napari_viewer, dataset, qtbot):
    viewer = make_napari_viewer(show=True)
    bench = workbench(viewer)
    bench.open(dataset.root, "B/1/0", dataset.workspace.path)
    qtbot.waitUntil(lambda: bench.session.fov is not None, timeout=20_000)
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Segment and track")
    rest(bench, qtbot)
    panel = widget.steps.panels["segment"]
    editor = panel.form._editors["diameter"]
    editor.set_value(14.0)
    editor.edited.emit()
    panel.run()
    rest(bench, qtbot)
    viewer.window.remove_dock_widget(dock)

    _, again = viewer.window.add_plugin_dock_widget(PLUGIN, "Segment and track")
    rest(bench, qtbot)
    assert isinstance(again, SegmentAndTrackWidget)
    assert again is not widget
    panel = again.steps.panels["segment"]
    assert panel.form.values()["diameter"] == 14.0
    qtbot.waitUntil(lambda: panel.log.count() == 1)
    assert "cells" in viewer.layers
    bench.close()
