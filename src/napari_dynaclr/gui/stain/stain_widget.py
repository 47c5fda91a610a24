"""Virtual staining: run it, go on with what it has made, and look at what the network sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dynaclr.core.channels import named_after
from napari_dynaclr.gui.docks import bring_up
from napari_dynaclr.gui.scroll import Scroll
from napari_dynaclr.gui.section import Section
from napari_dynaclr.gui.stain.features_panel import FeaturesPanel
from napari_dynaclr.gui.steps.step_widget import StepPanel
from napari_dynaclr.session.stock import Stock, describe, stock
from napari_dynaclr.staining.method import find_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer

    from napari_dynaclr.core.job import Job


class VirtualStainingWidget(QWidget):
    """Stains nuclei and membranes from label-free images.

    Parameters
    ----------
    napari_viewer
        The viewer; napari knows by this name that it must give it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.step = StainPanel(napari_viewer)
        self.features = FeaturesPanel(napari_viewer, self.step)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 6)
        column.addWidget(self.step)
        section = Section("Feature maps", self.features, unfolded=False)
        section.setContentsMargins(6, 0, 6, 0)
        column.addWidget(section)
        column.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(Scroll(content))


class StainPanel(StepPanel):
    """Runs the virtual staining, says where its weights are, and hands on what it has made.

    Parameters
    ----------
    viewer
        The viewer.
    parent
        Its parent in Qt.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        self._viewer = viewer
        self._stock: dict[str, Stock] = {}
        self.weights = QLabel()
        self.weights.setWordWrap(True)
        self.segment_button = QPushButton("Segment from it")
        self.segment_button.setToolTip("Find the cells in the virtually stained nuclei.")
        super().__init__(viewer, "stain", parent)
        layout = self.layout()
        if isinstance(layout, QVBoxLayout):
            layout.insertWidget(layout.indexOf(self.form) + 1, self.weights)
            layout.insertWidget(layout.indexOf(self.runs), self.segment_button)
        self.segment_button.clicked.connect(self.segment)

    # -- weights ----------------------------------------------------------

    def _read_workspace(self) -> None:
        super()._read_workspace()

        def done(found: dict[str, Stock]) -> None:
            self._stock = found
            self._show_weights()

        self.read("look for weights", _look, done)

    def _show_weights(self) -> None:
        """Say which network it is, and whether its weights have to be downloaded."""
        values = self.form.values()
        preset, own = str(values.get("preset", "")), str(values.get("weights", ""))
        said = "" if own else describe(self._stock, preset, self._found(preset))
        self.weights.setText(said if self._stock else "")
        every = [f"{name}: {one.describe()}" for name, one in self._stock.items()]
        self.weights.setToolTip("\n".join(every))
        self.weights.setVisible(bool(self.weights.text()) and not self._missing)

    def _found(self, preset: str) -> str:
        """Name of the network that "auto" takes for the dataset; "" where there is none."""
        dataset = self.session.dataset
        if preset != "auto" or dataset is None:
            return ""
        found = find_network(preset, "", dataset)
        return found.name if found is not None else ""

    def _enable(self) -> None:
        super()._enable()
        self._show_weights()

    # -- what comes next --------------------------------------------------

    @property
    def nuclei(self) -> str:
        """Virtual stain of the FOV on screen to find cells in; "" where there is none."""
        stained = self.session.fov.stained if self.session.fov is not None else []
        return named_after("nuclei", stained) or next(iter(stained), "")

    def segment(self) -> None:
        """Have the form of the segmentation filled in for the virtual stain, and show it."""
        if self.nuclei:
            self.bench.propose("segment", method="threshold", channel=self.nuclei)
            bring_up(self._viewer, "Segment and track", "segment")

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow what every step does, and which stain there is."""
        return [*super().connections(), (self.session.fov_changed, self._offer)]

    def _offer(self) -> None:
        self.segment_button.setVisible(bool(self.nuclei))

    def synchronise(self) -> None:
        """Show what there is to choose from, what has been run, and what has come of it."""
        super().synchronise()
        self._offer()


def _look(_job: Job) -> dict[str, Stock]:
    return stock("stain")
