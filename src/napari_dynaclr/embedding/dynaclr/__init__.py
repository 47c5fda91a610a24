"""DynaCLR: the contrastive encoder, its weights, and embedding with it."""
