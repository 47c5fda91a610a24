from __future__ import annotations

import subprocess
import sys


def test_import_loads_nothing_heavy():
    code = (
        "import sys, napari_dynaclr\n"
        "heavy = {'napari', 'qtpy', 'PyQt6', 'torch', 'numpy', 'zarr', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_core_loads_neither_torch_nor_napari():
    code = (
        "import sys, pkgutil, importlib, napari_dynaclr.core as core\n"
        "for m in pkgutil.iter_modules(core.__path__):\n"
        "    importlib.import_module(f'napari_dynaclr.core.{m.name}')\n"
        "print(sorted({'napari', 'qtpy', 'torch'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_public_names_resolve():
    import napari_dynaclr

    for name in napari_dynaclr.__all__:
        assert getattr(napari_dynaclr, name) is not None


def test_import_takes_next_to_no_time():
    code = (
        "import time; start = time.process_time(); import napari_dynaclr;"
        "print(time.process_time() - start)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    assert min(float(run.stdout) for run in runs) < 0.1  # seconds more than bare Python
