"""AutoInterp: whether a judge can tell from an explanation of a latent where it is active."""
