"""The map of profiles: a point for each field or well, at a time or over all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dynaclr.gui.dates import local_time
from napari_dynaclr.gui.filling import fill
from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.map.legend import LegendBar
from napari_dynaclr.gui.map.theme import follow_theme
from napari_dynaclr.gui.scatter.plot import PointCloud
from napari_dynaclr.gui.view import View
from napari_dynaclr.session.profiles import (
    COLOURS,
    LEVELS,
    ProfileMap,
    profile_names,
    read_profiles,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer

    from napari_dynaclr.core.job import Job

_NO_DATASET = "Open a dataset first"
_NO_PROFILE = """No profiles yet: choose below what to profile
(all wells at once: Work on, whole plate), then Run"""
_NO_MAP = "Too few profiles on this level for a map:\nchoose a finer one"
_READING = "looking for profiles…"
_HOVER = "Rest the mouse on a point to see what it is; click to go there."


class ProfileMapPanel(View):
    """Shows profiles as points; a click goes to the field and time of one.

    Parameters
    ----------
    viewer
        The viewer.
    parent
        Its parent in Qt.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._reads = Latest(self.bench.runner, self, "profiles")
        self._reading = False
        self.profile, self.level, self.map = QComboBox(), QComboBox(), QComboBox()
        self.colour = QComboBox()
        for name, title in LEVELS.items():
            self.level.addItem(title, name)
        self.profile.setToolTip("Which profile, by its name.")
        self.level.setToolTip("What a point is: a field or a well, at a time or over all of it.")
        self.map.setToolTip("Which map of the profiles.")
        self.colour.setToolTip("What the points are coloured by.")
        self.fit = QPushButton("Fit")
        self.fit.setToolTip("Show all profiles (Home)")
        self.cloud = PointCloud()
        self.cloud.setMinimumHeight(140)
        self.cloud.mode = "pan"
        self.legend = LegendBar()
        self.about, self.made, self.note = QLabel(), QLabel(), QLabel()
        for label in (self.about, self.made, self.note):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self._lay_out()
        follow_theme(viewer, self.cloud)
        self.profile.activated.connect(self._choose_profile)
        self.level.activated.connect(self._choose_level)
        self.map.activated.connect(
            lambda _: self.session.profiles.choose_map(str(self.map.currentData()))
        )
        self.colour.activated.connect(
            lambda _: self.session.profiles.colour_by(str(self.colour.currentData()))
        )
        self.fit.clicked.connect(self.cloud.reset_view)
        self.cloud.hovered.connect(self._hover)
        self.cloud.clicked.connect(self._clicked)

    def _lay_out(self) -> None:
        first, second = QHBoxLayout(), QHBoxLayout()
        for box in (self.profile, self.level, self.map):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
            first.addWidget(box)
        first.addStretch(1)
        self.colour_label = QLabel("Colour by")
        second.addWidget(self.colour_label)
        second.addWidget(self.colour, 1)
        second.addWidget(self.fit)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(first)
        layout.addLayout(second)
        layout.addWidget(self.cloud, 1)
        layout.addWidget(self.legend)
        layout.addWidget(self.about)
        layout.addWidget(self.made)
        layout.addWidget(self.note)

    # -- following ---------------------------------------------------------

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the dataset, what is profiled, and what is on screen."""
        session = self.session
        return [
            (session.dataset_changed, self._read),
            (session.results_changed, self._results_changed),
            (session.profiles.changed, self._show),
            (session.fov_changed, self._show_here),
            (session.frame_changed, self._show_here),
        ]

    def synchronise(self) -> None:
        """Show the profiles as the session has them."""
        self._read()
        self._show()

    def _results_changed(self, stage: str) -> None:
        if stage in ("profile", "embed", "track"):
            self._read()

    def _read(self) -> None:
        profiles, dataset = self.session.profiles, self.session.dataset
        self._reading = dataset is not None
        if dataset is None:
            self._reads.stop()
            self._offer([])
            self._show()
            return
        wanted, level = profiles.name, profiles.level

        def work(_job: Job) -> tuple[list[str], ProfileMap]:
            names = profile_names(dataset)
            name = wanted if wanted in names else next(iter(names), "")
            return names, read_profiles(dataset, name, level)

        def done(found: tuple[list[str], ProfileMap]) -> None:
            self._reading = False
            self._offer(found[0])
            profiles.names, profiles.name = found[0], found[1].name
            profiles.show(found[1])

        def failed(error: Exception) -> None:
            self._reading = False
            profiles.show(ProfileMap(level=level))
            self.bench.explain(error)

        self._reads.start("read profiles", work, done, failed)
        self.cloud.set_hint(self._hint(profiles.shown))

    def _offer(self, names: list[str]) -> None:
        self.profile.clear()
        self.profile.addItems(names)

    def _show(self) -> None:
        profiles = self.session.profiles
        shown = profiles.shown
        self.profile.setCurrentText(shown.name)
        self.profile.setVisible(self.profile.count() > 1)
        self.level.setCurrentIndex(max(self.level.findData(profiles.level), 0))
        fill(self.map, {name: name.upper() for name in shown.maps}, profiles.map_name)
        self.map.setVisible(bool(shown.maps))
        choices = shown.choices()
        fill(self.colour, {name: COLOURS[name] for name in choices}, profiles.colour)
        for part in (self.colour_label, self.colour, self.fit):
            part.setVisible(len(shown) > 0)
        self.level.setVisible(bool(profiles.names))
        nowhere = np.full((len(shown), 2), np.nan, np.float32)
        self.cloud.set_hint(self._hint(shown))
        places = shown.maps.get(profiles.map_name, nowhere)
        self.cloud.set_points(places, keep_view=True)
        name = profiles.map_name.upper()
        self.cloud.set_axis_names(*(f"{name} {i}" if name else "" for i in (1, 2)))
        palette = shown.paint(profiles.colour) if len(shown) else None
        if palette is not None:
            self.cloud.set_colours(palette.rgba)
        self.legend.set_legend(palette.legend if palette is not None else None)
        self.cloud.set_path(None)
        self.about.setText(_HOVER)
        self.about.setVisible(bool(np.isfinite(places).any()))
        self._note(shown)
        self._show_here()

    def _hint(self, shown: ProfileMap) -> str:
        """Say why there are no points, while there are none."""
        if len(shown):
            return _NO_MAP
        if self.session.dataset is None:
            return _NO_DATASET
        return _READING if self._reading else _NO_PROFILE

    def _note(self, shown: ProfileMap) -> None:
        when = f", {local_time(shown.finished)}" if shown.finished else ""
        self.made.setText(f"Made of {shown.made}{when}.")
        self.made.setVisible(len(shown) > 0)
        told = [shown.lacking] if shown.lacking else []
        if shown.missing and len(shown):
            some = ", ".join(shown.missing[:3]) + ("…" if len(shown.missing) > 3 else "")
            told.append(f"Not profiled, or out of date: {some}. Run again over the whole plate.")
        if shown.aligned:
            told.append("Plates were aligned: this profile cannot be evaluated.")
        self.note.setText(" ".join(told))
        self.note.setVisible(bool(told))

    def _show_here(self) -> None:
        """Show larger what is on screen."""
        session = self.session
        fov, dataset, shown = session.fov, session.dataset, session.profiles.shown
        if fov is None or dataset is None:
            self.cloud.set_highlighted([])
        else:
            self.cloud.set_highlighted(shown.at(fov.name, session.frame, dataset))

    # -- the user ----------------------------------------------------------

    def _choose_profile(self) -> None:
        self.session.profiles.name = self.profile.currentText()
        self._read()

    def _choose_level(self) -> None:
        self.session.profiles.level = str(self.level.currentData())
        self._read()

    def _hover(self, row: int) -> None:
        shown = self.session.profiles.shown
        there = 0 <= row < len(shown)
        self.about.setText(shown.describe(row) if there else _HOVER)
        course = shown.course(row) if there else None
        self.cloud.set_path([course] if course is not None and len(course) > 1 else None)

    def _clicked(self, row: int, _how: str) -> None:
        session, dataset = self.session, self.session.dataset
        if row < 0 or dataset is None:
            return
        shown = session.profiles.shown
        place = shown.place(row, dataset)
        if place is None:
            session.say(f"{shown.describe(row)}: of another plate, open that to see it")
            return
        name, t = place
        session.say(shown.describe(row))
        self.bench.navigation.go_to_place(name, session.frame if t is None else t)
