"""SAEs: architectures, the interface that evals rely on, and loaders for SAEs from elsewhere.

Names are imported when they are first used, so that what is known of SAEs can be listed without torch.
"""

from typing import TYPE_CHECKING

from sae_bench.forwarding import imported_when_used

if TYPE_CHECKING:
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

_HOMES = {
    "BaseSAE": "base_sae",
    "CustomSAEConfig": "custom_sae_config",
    "fold_decoder_norm": "folding",
    **dict.fromkeys(("LoadContext", "SAEHandle", "resolve_spec"), "spec"),
}
"""Name -> the module that it is in; all others are in `interface`."""

__getattr__ = imported_when_used(__name__, {name: f"{__name__}.{_HOMES.get(name, 'interface')}" for name in __all__})
