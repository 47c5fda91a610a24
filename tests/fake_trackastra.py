"""A small model of Trackastra, for tests: its published ones are downloads."""

from __future__ import annotations

import yaml


def write_trackastra(folder, *, seed=1, sharpness=40.0, features="wrfeat", **changed):
    """A small network of Trackastra, saved as it saves them; its weights are random."""
    import torch
    from trackastra.model import TrackingTransformer

    torch.manual_seed(seed)
    config = {
        "coord_dim": 2, "feat_dim": 7, "d_model": 32, "nhead": 2, "num_encoder_layers": 1,
        "num_decoder_layers": 1, "pos_embed_per_dim": 8, "window": 4, "spatial_pos_cutoff": 256,
        **changed,
    }  # fmt: skip
    network = TrackingTransformer(**config)
    with torch.no_grad():  # random logits are near zero: every link would be as likely as none
        for parameter in network.head_x.parameters():
            parameter *= sharpness
    folder.mkdir(exist_ok=True)
    torch.save(network.state_dict(), folder / "model.pt")
    (folder / "config.yaml").write_text(yaml.safe_dump(network.config))
    (folder / "train_config.yaml").write_text(f"features: {features}\n")
    return folder
