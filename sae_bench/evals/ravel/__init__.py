"""RAVEL: whether latents that carry one attribute of an entity carry no other."""
