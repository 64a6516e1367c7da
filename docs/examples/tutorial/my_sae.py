import torch

from sae_bench import load_saes
from sae_bench.custom_saes import CustomSAEConfig


class HalfSAE(torch.nn.Module):
    """A ReLU SAE that kept every second latent of another one."""

    def __init__(self, trained):
        super().__init__()
        for name, weights in {
            "W_enc": trained.W_enc[:, ::2],
            "b_enc": trained.b_enc[::2],
            "W_dec": trained.W_dec[::2],
            "b_dec": trained.b_dec,
        }.items():
            self.register_buffer(name, weights.detach().clone())
        d_sae, d_in = self.W_dec.shape
        self.cfg = CustomSAEConfig(
            "embedded", d_in, d_sae, hook_layer=trained.cfg.hook_layer, hook_name=trained.cfg.hook_name
        )

    def encode(self, x):
        return torch.relu((x - self.b_dec) @ self.W_enc + self.b_enc)

    def decode(self, f):
        return f @ self.W_dec + self.b_dec


def mine():
    """Name -> SAE: what `--sae python:my_sae:mine` evaluates."""
    (trained,) = load_saes("embedded:relu").values()
    return {"half_relu": HalfSAE(trained)}
