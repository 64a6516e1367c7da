"""Sparse probing: how well few latents of an SAE predict a concept."""
