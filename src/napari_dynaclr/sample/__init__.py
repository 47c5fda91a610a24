"""A simulated infection time-lapse with full ground truth."""

from napari_dynaclr.sample.params import SimulateParams
from napari_dynaclr.sample.simulation import simulate

__all__ = ["SimulateParams", "simulate"]
