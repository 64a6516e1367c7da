"""Meta-structure: how well a small SAE on the decoder rows of an SAE explains them."""
