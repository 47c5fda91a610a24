"""The only folder that adds or changes napari layers."""

from napari_dynaclr.gui.layers.keeper import STAIN, FovLayers, warm_up
from napari_dynaclr.gui.layers.scene import LayerData, Scene, prepare

__all__ = ["STAIN", "FovLayers", "LayerData", "Scene", "prepare", "warm_up"]
