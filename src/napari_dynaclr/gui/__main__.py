"""Show one FOV of a dataset with its results: ``python -m napari_dynaclr.gui DATASET [FOV]``."""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> None:
    """Open a viewer on a dataset and wait until it is closed."""
    import napari

    from napari_dynaclr.core.dataset import open_dataset
    from napari_dynaclr.gui.layers import add_fov

    dataset = open_dataset(arguments[0])
    fov = dataset[arguments[1]] if len(arguments) > 1 else dataset.fovs[0]
    viewer = napari.Viewer(title=f"{dataset.root.name} {fov.name}")
    add_fov(viewer, dataset, fov)
    napari.run()


if __name__ == "__main__":
    main(sys.argv[1:])
