"""Training of networks for virtual staining: from paired channels, or from label-free ones alone.

Hirata-Miyasaki, Pradeep, Liu et al., *Robust virtual staining of landmark organelles*
(Cytoland), Methods.
"""
