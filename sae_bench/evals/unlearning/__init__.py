"""Unlearning: what clamping latents of a topic takes from the model's knowledge of it, and of other topics."""
