"""The only folder that adds or changes napari layers."""

from napari_dynaclr.gui.layers.keeper import FovLayers, warm_up
from napari_dynaclr.gui.layers.scene import LayerData, Scene, prepare

__all__ = ["FovLayers", "LayerData", "Scene", "prepare", "warm_up"]
