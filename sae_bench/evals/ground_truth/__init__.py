"""Ground truth: what an SAE finds of the features that a synthetic model is made of."""
