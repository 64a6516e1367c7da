"""SAEs: architectures, the interface that evals rely on, and loaders for SAEs from elsewhere."""

from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.custom_sae_config import CustomSAEConfig
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import (
    SAE,
    SparseCodes,
    decode_tokens,
    decoder_is_linear,
    encode_tokens,
    encoder_bias,
)
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, resolve_spec

__all__ = [
    "SAE",
    "BaseSAE",
    "CustomSAEConfig",
    "LoadContext",
    "SAEHandle",
    "SparseCodes",
    "decode_tokens",
    "decoder_is_linear",
    "encode_tokens",
    "encoder_bias",
    "fold_decoder_norm",
    "resolve_spec",
]
