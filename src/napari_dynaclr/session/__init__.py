"""Session: what one viewer is looking at, with events, and without Qt."""

from napari_dynaclr.session.session import Scope, Session

__all__ = ["Scope", "Session"]
