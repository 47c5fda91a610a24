"""What is remembered between sessions: the user's last settings, in Qt's own place for them."""

from __future__ import annotations

import json
from typing import Any

from qtpy.QtCore import QSettings

NAME = "napari-dynaclr"


def _store() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, NAME, NAME)


def remember(key: str, value: Any) -> None:
    """Keep a value (anything JSON can say) under a name such as "params/track/laptrack"."""
    _store().setValue(key, json.dumps(value))


def recall(key: str, default: Any = None) -> Any:
    """Return what was kept under a name; the default where there is nothing readable."""
    text = _store().value(key)
    try:
        return json.loads(text) if isinstance(text, str) else default
    except ValueError:
        return default
