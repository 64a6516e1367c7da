"""Baselines that need no files: identity, zero, random, and principal components of the corpus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.derived.grammar import is_derived
from sae_bench.custom_saes.derived.handles import resolve_derived
from sae_bench.custom_saes.files import layer_of
from sae_bench.custom_saes.identity_sae import IdentitySAE, ZeroSAE
from sae_bench.custom_saes.listing import DERIVED_BASELINES
from sae_bench.custom_saes.loading import hook_width
from sae_bench.custom_saes.oracle_sae import OracleSAE
from sae_bench.custom_saes.pca_sae import fit_pca
from sae_bench.custom_saes.random_sae import RandomSAE
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, malformed
from sae_bench.errors import UnknownNameError, UsageError
from sae_bench.language_models.hooks import parse_hook_name
from sae_bench.language_models.model import LanguageModel
from sae_bench.language_models.synthetic.model import SyntheticModel

RANDOM_EXPANSION = 4
RANDOM_K = 32


def resolve(rest: str, *, data_dir: Path | None = None) -> list[SAEHandle]:
    """The baseline `<name>[@<hook name>]`, or those that are made from other SAEs."""
    if is_derived(rest):
        return resolve_derived(rest, data_dir=data_dir)
    name, at, hook_name = rest.partition("@")
    if name not in _BUILDERS:
        raise UnknownNameError("baseline", name, [*_BUILDERS, *DERIVED_BASELINES])
    if at and not hook_name:
        raise malformed(f"baseline:{rest}", "baseline")
    if hook_name:
        parse_hook_name(hook_name)
    sae_id = f"{name}_{hook_name}" if hook_name else name
    return [
        SAEHandle(
            "baseline",
            sae_id,
            hook_name or None,
            None,
            lambda context: _build(name, hook_name or None, context),
            lambda context: _fingerprint(name, context),
        )
    ]


def _fingerprint(name: str, context: LoadContext) -> str:
    """What defines a baseline, but for the model and the hook, which results name themselves."""
    corpus = context.corpus if name == "pca" else ""
    return fingerprint.of_words("baseline", name, RANDOM_EXPANSION, RANDOM_K, corpus)


def _build(name: str, hook_name: str | None, context: LoadContext) -> BaseSAE:
    hook_name = hook_name or context.hook_name
    if context.lm is None or hook_name is None:
        raise UsageError(
            f"the baseline '{name}' takes its width from a model and a hook; name a hook as in "
            f"baseline:{name}@blocks.8.hook_resid_post, or choose it beside an SAE that has one."
        )
    return _BUILDERS[name](context, context.lm, hook_name)


def _identity(context: LoadContext, lm: LanguageModel, hook: str) -> BaseSAE:
    return IdentitySAE(hook_width(lm, hook), lm.name, layer_of(hook), context.device, context.dtype, hook)


def _zero(context: LoadContext, lm: LanguageModel, hook: str) -> BaseSAE:
    return ZeroSAE(hook_width(lm, hook), lm.name, layer_of(hook), context.device, context.dtype, hook)


def _random(context: LoadContext, lm: LanguageModel, hook: str) -> BaseSAE:
    d_in = hook_width(lm, hook)
    d_sae = RANDOM_EXPANSION * d_in
    k = min(RANDOM_K, d_sae)
    return RandomSAE(d_in, d_sae, lm.name, layer_of(hook), context.device, context.dtype, hook, k=k)


def _pca(context: LoadContext, lm: LanguageModel, hook: str) -> BaseSAE:
    if context.activations is None:
        raise UsageError("the PCA baseline is fitted to corpus activations and this run has none to give.")
    return fit_pca(
        context.activations(hook),
        model_name=lm.name,
        hook_layer=layer_of(hook),
        device=context.device,
        dtype=context.dtype,
        hook_name=hook,
    )


def _oracle(context: LoadContext, lm: LanguageModel, hook: str) -> BaseSAE:
    if not isinstance(lm, SyntheticModel):
        raise UsageError(
            f"the oracle knows the true features of a synthetic model; '{lm.name}' has none that are known. "
            "Next: --model synthetic:small, or leave the oracle out."
        )
    lm.hook_site(hook)
    return OracleSAE(lm, context.device, context.dtype)


_BUILDERS: dict[str, Callable[[LoadContext, LanguageModel, str], BaseSAE]] = {
    "identity": _identity,
    "oracle": _oracle,
    "pca": _pca,
    "random": _random,
    "zero": _zero,
}
