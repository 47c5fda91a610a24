"""Show a dataset with its results: ``python -m napari_dynaclr.gui DATASET [FOV]``."""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> None:
    """Open a viewer on a dataset and wait until it is closed."""
    import napari

    from napari_dynaclr.gui.workbench import workbench

    viewer = napari.Viewer(title="napari-dynaclr")
    for name in ("Open dataset", "Embed and project"):
        viewer.window.add_plugin_dock_widget("napari-dynaclr", name)
    workbench(viewer).open(arguments[0], *arguments[1:2])
    napari.run()


if __name__ == "__main__":
    main(sys.argv[1:])
