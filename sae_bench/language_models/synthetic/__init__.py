"""Synthetic models: activations that are sums of known features, so that metrics can be held against the truth."""
