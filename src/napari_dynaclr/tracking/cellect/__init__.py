"""CELLECT: cells found and linked by contrastive embeddings of pairs of frames (cellect.txt)."""
