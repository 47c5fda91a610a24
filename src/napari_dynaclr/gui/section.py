"""A panel under a heading that folds it away."""

from __future__ import annotations

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_dynaclr.gui.settings import recall, remember

_HEADING = """
QPushButton { background: transparent; border: none; text-align: left; font-weight: bold; }
QPushButton:hover, QPushButton:focus { text-decoration: underline; }
"""
"""napari shows a button that is checked in its loudest colour."""


class Section(QWidget):
    """A heading, and a panel under it that can be folded away; folded, it listens to nothing.

    superqt's QCollapsible keeps the height that its content had when it was unfolded,
    which cuts off panels that show more later, and lets the tab key into what is folded.

    Parameters
    ----------
    title
        The heading.
    panel
        What is under it.
    unfolded
        Whether it starts unfolded, until the user says otherwise.
    """

    def __init__(self, title: str, panel: QWidget, *, unfolded: bool = True) -> None:
        super().__init__()
        self._title, self.panel = title, panel
        self.heading = QPushButton()
        self.heading.setCheckable(True)
        self.heading.setChecked(bool(recall(f"section/{title}", unfolded)))
        self.heading.setStyleSheet(_HEADING)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.heading)
        layout.addWidget(panel)
        self.heading.toggled.connect(self._fold)
        self.heading.toggled.connect(lambda shown: remember(f"section/{title}", shown))
        self._fold(self.heading.isChecked())

    def _fold(self, unfolded: bool) -> None:
        self.heading.setText(f"{'▾' if unfolded else '▸'} {self._title}")
        self.panel.setVisible(unfolded)
