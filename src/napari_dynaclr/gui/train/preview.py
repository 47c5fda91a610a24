"""Preview: a row of small pictures with their titles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QImage, QPainter
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_dynaclr.core.channels import prediction_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from qtpy.QtGui import QPaintEvent

_GAP = 4.0
_SMALLEST, _LARGEST = 80.0, 170.0
"""Width of a picture in logical pixels; what does not fit in a row goes to the next."""

PREDICTION = "prediction"
"""Title of a picture of virtual stain, which stands below that of the experimental one."""


class Preview(QWidget):
    """Shows pictures beside each other, as large as the room allows, each under its title.

    Predictions stand below what they are to be like.

    Parameters
    ----------
    parent
        Its parent in Qt.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self._images: dict[str, QImage] = {}

    @property
    def titles(self) -> list[str]:
        """What is shown."""
        return list(self._images)

    def show_pictures(self, pictures: Mapping[str, NDArray[np.floating]]) -> None:
        """Show other pictures.

        Parameters
        ----------
        pictures
            Grey from 0 to 1, (Y, X), by title; what is no number is black.
        """
        before = self.titles
        self._images = {title: _image(one) for title, one in pictures.items() if one.size}
        self.setVisible(bool(self._images))
        if self.titles != before:
            self.setAccessibleDescription(", ".join(self.titles))
            self.updateGeometry()
        self.update()

    def hasHeightForWidth(self) -> bool:
        """Return True: narrower, there are more rows."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Return the height of all rows."""
        places, side = self.places(width)
        rows = 1 + max((row for row, _ in places.values()), default=-1)
        return round(rows * self._row(side))

    def sizeHint(self) -> QSize:
        """Return room for all pictures at the width that there is."""
        width = max(self.width(), round(_SMALLEST))
        return QSize(round(_SMALLEST), self.heightForWidth(width))

    def minimumSizeHint(self) -> QSize:
        """Return room for the rows."""
        return self.sizeHint()

    def resizeEvent(self, event: object) -> None:
        """Follow the width: the height depends on it."""
        self.updateGeometry()

    def places(self, width: float) -> tuple[dict[str, tuple[int, int]], float]:
        """Return row and column of each picture, and the width of all.

        Parameters
        ----------
        width
            Of all together, in logical pixels.
        """
        made = {prediction_of(title): title for title in self._images}
        first = [title for title in self._images if made.get(title, title) == title]
        most = max(int((width + _GAP) // (_SMALLEST + _GAP)), 1)
        rows = -(-len(first) // most) or 1
        columns = -(-len(first) // rows) or 1  # as even as it goes
        below = 1 if len(first) == len(self._images) else 2
        places = {one: (below * (i // columns), i % columns) for i, one in enumerate(first)}
        for title in self._images:
            if title not in places:
                row, column = places[made[title]]
                places[title] = (row + 1, column)
        return places, min((width + _GAP) / columns - _GAP, _LARGEST)

    def _tallest(self) -> float:
        """Return the height of the tallest picture, as a multiple of its width."""
        return max((one.height() / one.width() for one in self._images.values()), default=1.0)

    def _row(self, side: float) -> float:
        return side * self._tallest() + self.fontMetrics().height() + 2 * _GAP

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw titles and pictures."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(self.palette().text().color())
        places, side = self.places(self.width())
        made = {prediction_of(title) for title in self._images}
        line = float(self.fontMetrics().height())
        for title, image in self._images.items():
            row, column = places[title]
            x, y = column * (side + _GAP), row * self._row(side)
            said = PREDICTION if title in made else title
            text = self.fontMetrics().elidedText(said, Qt.TextElideMode.ElideRight, int(side))
            painter.drawText(QRectF(x, y, side, line), Qt.AlignmentFlag.AlignCenter, text)
            height = side * image.height() / image.width()
            painter.drawImage(QRectF(x, y + line + _GAP / 2, side, height), image)


def _image(pixels: NDArray[np.floating]) -> QImage:
    grey = np.clip(np.nan_to_num(np.asarray(pixels, np.float32)), 0, 1)
    eight = np.ascontiguousarray(np.round(grey * 255).astype(np.uint8))
    height, width = eight.shape
    image = QImage(eight.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
    return image.copy()  # the bytes are gone when this returns
