from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec

import pytest

from napari_dynaclr.gui import triton


def test_without_triton_nothing_is_done(monkeypatch):
    monkeypatch.setattr(triton, "find_spec", lambda _name: None)
    monkeypatch.setattr(triton.ctypes, "CDLL", lambda *_, **__: pytest.fail("loaded something"))
    triton.load_triton()


@pytest.mark.skipif(
    not hasattr(os, "RTLD_DEEPBIND") or os.environ.get("QT_QPA_PLATFORM") == "offscreen",
    reason="Linux with OpenGL only",
)
@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_it_can_be_imported_beside_opengl():
    code = """
        from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
        from qtpy.QtWidgets import QApplication

        app = QApplication([])
        surface, context = QOffscreenSurface(), QOpenGLContext()
        surface.create()
        assert context.create()
        assert context.makeCurrent(surface)

        from napari_dynaclr.gui.triton import load_triton

        load_triton()
        import triton._C.libtriton

        print("alive")
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "alive" in run.stdout, run.stderr
