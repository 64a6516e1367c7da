"""From a derivation and an SAE to the baseline."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.base_sae import BaseSAE, at_least_float32
from sae_bench.custom_saes.custom_sae_config import CustomSAEConfig
from sae_bench.custom_saes.derived.calibration import (
    Sample,
    mean_activity,
    mean_l0,
    not_sparse,
    ridge_decoder,
    threshold_for,
)
from sae_bench.custom_saes.derived.degraded import chosen_latents, degrade, exchanged
from sae_bench.custom_saes.derived.derived_sae import DerivedSAE, DerivedSAEConfig, LatentMap, derived_config
from sae_bench.custom_saes.derived.grammar import Derivation
from sae_bench.custom_saes.derived.token_matched import TokenMatchedSAE
from sae_bench.custom_saes.files import layer_of
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import SAE
from sae_bench.custom_saes.jumprelu_sae import JumpReluSAE
from sae_bench.custom_saes.loading import hook_width
from sae_bench.custom_saes.spec import LoadContext, SAEHandle
from sae_bench.errors import UsageError
from sae_bench.seeding import named_generator

L0_TOLERANCE = 0.01
"""How far the L0 of a baseline may be from that of its SAE, on the sample."""

EXPANSION = 4
"""Latents per dimension of a frozen encoder that follows no SAE."""


@torch.no_grad()
def make(derivation: Derivation, parent: SAEHandle | None, context: LoadContext, derived_from: dict[str, Any]) -> Any:
    """The baseline, on the device and in the dtype of the context.

    Args:
        derivation: what to make.
        parent: of what SAE; None for a frozen encoder of a given L0.
        context: of the run.
        derived_from: what its configuration says of that.
    Raises:
        SAEBenchError: the SAE cannot be loaded, or this cannot be made of it.
    """
    device = context.device if context.lm is None else context.lm.device
    at = replace(context, device=device, dtype=at_least_float32(context.dtype), cast_afterwards=False)
    if parent is None:
        made: Any = _frozen_of(derivation, at, derived_from)
    else:
        sae = copy.deepcopy(parent.load(at))
        fold_decoder_norm(sae)
        derived_from |= {"architecture": getattr(sae.cfg, "architecture", "")}
        made = _of_sae(derivation, sae, at, derived_from)
    return made.to(device=context.device, dtype=context.dtype)


def _of_sae(derivation: Derivation, sae: Any, context: LoadContext, derived_from: dict[str, Any]) -> Any:
    cfg = derived_config(sae.cfg, derived_from, d_sae=derivation.k or int(sae.cfg.d_sae))
    cfg.hook_name = cfg.hook_name or context.hook_name or ""
    if derivation.name == "permuted_decoder":
        return DerivedSAE(sae, cfg, W_dec_FD=exchanged(sae.W_dec, chosen_latents(sae, 1.0, "permuted")))
    if derivation.kind is not None and derivation.level is not None:
        return degrade(sae, cfg, derivation.kind, derivation.level)
    sample = Sample(context, cfg.hook_name, sae.W_dec.device)
    if derivation.k is not None:
        return _best(sae, cfg, derivation.k, sample)
    target = _target(cfg, sample, context)
    made = _matched(cfg, sae, sample, target)
    if derivation.name == "frozen_encoder":
        return _with_best_decoder(made, sample, target)
    return _with_random_decoder(made, target, is_tied=target is sample)


def _best(sae: SAE, cfg: DerivedSAEConfig, k: int, sample: Sample) -> DerivedSAE:
    """The `k` latents that take part most; they keep their order."""
    n_latents = int(sae.cfg.d_sae)
    if k > n_latents:
        raise UsageError(f"baseline:best_k keeps {k} latents of an SAE that has {n_latents}. Next: a smaller k.")
    left_K = mean_activity(sae, sample).topk(k).indices.sort().values
    factor_F = torch.zeros(n_latents, device=left_K.device).index_fill(0, left_K, 1.0)
    target_F = torch.zeros(n_latents, dtype=torch.long, device=left_K.device)
    target_F[left_K] = torch.arange(k, device=left_K.device)
    return DerivedSAE(sae, cfg, latents=LatentMap(target_F, factor_F, k), W_dec_FD=sae.W_dec[left_K].clone())


def _frozen_of(derivation: Derivation, context: LoadContext, derived_from: dict[str, Any]) -> BaseSAE:
    """A frozen encoder of a given L0, where the run says."""
    if context.lm is None or context.hook_name is None or derivation.l0 is None:
        raise UsageError(
            f"baseline:{derivation.named(None)} takes its width from a model and a hook. Next: name a hook, as in "
            f"baseline:{derivation.named(None)}@blocks.8.hook_resid_post, or choose it beside an SAE that has one."
        )
    d_in = hook_width(context.lm, context.hook_name)
    cfg = DerivedSAEConfig(
        context.lm.name, d_in, EXPANSION * d_in, layer_of(context.hook_name), context.hook_name,
        architecture=derivation.name, derived_from=derived_from,
    )  # fmt: skip
    sample = Sample(context, context.hook_name, context.device)
    return _with_best_decoder(_thresholded(cfg, derivation.l0, sample), sample, sample)


def _with_best_decoder(sae: BaseSAE, sample: Sample, target: Sample) -> BaseSAE:
    """The SAE, with the decoder that is best for its codes."""
    W_dec_FO, b_dec_O = ridge_decoder(sae, sample, target)
    sae.W_dec.copy_(W_dec_FO)
    sae.b_dec.copy_(b_dec_O)
    return sae


def _with_random_decoder(sae: BaseSAE, target: Sample, *, is_tied: bool) -> BaseSAE:
    """The SAE, with random unit decoder rows: those of the encoder, or rows of its own in a transcoder."""
    sae.W_dec.copy_(sae.W_enc.T if is_tied else _random_rows(sae.cfg, sae.W_dec.shape[1]))
    sae.b_dec.copy_(target.mean())
    return sae


def _target(cfg: DerivedSAEConfig, sample: Sample, context: LoadContext) -> Sample:
    """What is to be reconstructed for the tokens of the sample."""
    hook = getattr(cfg, "hook_name_out", None) or cfg.hook_name
    return sample if hook == cfg.hook_name else Sample(context, hook, sample.device)


def _matched(cfg: DerivedSAEConfig, parent: Any, sample: Sample, target: Sample) -> BaseSAE:
    """An SAE without a decoder: random unit columns, as many latents on each token as the parent has there.

    Raises:
        SAEMismatchError: so many of its pre-activations are not positive.
    """
    sae = TokenMatchedSAE(parent, cfg, d_out=len(target.mean()))
    _draw_encoder(sae, sample)
    wanted, l0 = mean_l0(parent, sample), mean_l0(sae, sample)
    if wanted == 0 or abs(l0 - wanted) > L0_TOLERANCE * wanted:
        raise not_sparse(cfg.d_sae, wanted)
    return sae


def _thresholded(cfg: DerivedSAEConfig, l0: float, sample: Sample) -> BaseSAE:
    """A JumpReLU SAE without a decoder: random unit columns, one threshold that gives the L0 on the sample."""
    arguments = (cfg.d_in, cfg.d_sae, cfg.model_name, cfg.hook_layer, sample.device, torch.float32, cfg.hook_name)
    sae = JumpReluSAE(*arguments)
    sae.cfg = cfg
    _draw_encoder(sae, sample)
    sae.threshold.fill_(threshold_for(l0, sae.W_enc, sae.b_enc, sample))
    return sae


def _draw_encoder(sae: BaseSAE, sample: Sample) -> None:
    """Random unit columns, on centred activations."""
    cfg = sae.cfg
    cfg.normalize_activations, cfg.activation_fn_str, cfg.activation_fn_kwargs = (
        "none",
        "",
        {},
    )  # the SAE's, not its own
    sae.W_enc.copy_(_random_rows(cfg, cfg.d_in).T)
    sae.b_enc.copy_(-(sample.mean() @ sae.W_enc))


def _random_rows(cfg: CustomSAEConfig, width: int) -> Float[Tensor, "F D"]:
    """Unit rows, the same on every machine."""
    generator = named_generator(cfg.architecture, cfg.d_sae, width)
    rows_FD = torch.randn(cfg.d_sae, width, generator=generator)
    return rows_FD / rows_FD.norm(dim=1, keepdim=True)
