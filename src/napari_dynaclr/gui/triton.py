"""Keeps PyTorch from crashing beside OpenGL on Linux."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path


def load_triton() -> None:
    """Load Triton's library such that it finds its own LLVM; once, before torch is imported.

    PyTorch for Linux imports Triton, whose library holds an LLVM of its own and exports
    it. Mesa, which draws napari's window with many graphics cards and without any, has
    loaded another version of LLVM by then. The linker would have the one call the
    functions of the other, and the program would end without a word (the same clash as
    in https://github.com/tensorflow/tensorflow/issues/124205). Where there is no Triton,
    nothing is done.
    """
    if not hasattr(os, "RTLD_DEEPBIND"):  # of GNU's C library only
        return
    found = find_spec("triton")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        for file in Path(folder, "_C").glob("libtriton*.so"):
            with suppress(OSError):  # one that does not load here is torch's to complain about
                ctypes.CDLL(str(file), mode=os.RTLD_NOW | os.RTLD_LOCAL | os.RTLD_DEEPBIND)
