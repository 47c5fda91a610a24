"""Show a dataset with its results: ``python -m napari_dynaclr.gui DATASET [FOV]``."""

from __future__ import annotations

import argparse
import sys

from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import DynaclrError


def main(arguments: list[str]) -> None:
    """Open a viewer on a dataset and wait until it is closed."""
    parser = argparse.ArgumentParser(prog="python -m napari_dynaclr.gui", description=__doc__)
    parser.add_argument("dataset", help="OME-Zarr plate, well or position")
    parser.add_argument("fov", nargs="?", default="", help="such as A/1/0; the first by default")
    given = parser.parse_args(arguments)
    try:
        open_dataset(given.dataset)
    except DynaclrError as error:
        parser.exit(2, f"{error}\n")
    import napari

    from napari_dynaclr.gui.workbench import workbench

    viewer = napari.Viewer(title="napari-dynaclr")
    for name in ("Open dataset", "Embed and project"):
        viewer.window.add_plugin_dock_widget("napari-dynaclr", name)
    workbench(viewer).open(given.dataset, given.fov)
    napari.run()


if __name__ == "__main__":
    main(sys.argv[1:])
