"""An SAELens object as an SAE of this package: the numbers are SAELens' own, the conventions ours."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.architectures import SAE_LENS
from sae_bench.custom_saes.base_sae import keep_wide
from sae_bench.custom_saes.codes import largest
from sae_bench.custom_saes.custom_sae_config import CustomSAEConfig, TranscoderConfig
from sae_bench.custom_saes.interface import PER_TOKEN_NORMALIZATIONS, SparseCodes, skip_path
from sae_bench.errors import UsageError

_NORM_STATE = ("ln_mu", "ln_std", "x_norm_coeff")
"""Where SAELens keeps, between encode and decode, what it divided each token by."""
_COPIED = (
    "context_size", "hook_head_index", "apply_b_dec_to_input", "finetuning_scaling_factor", "prepend_bos",
    "activation_fn_str", "dataset_path", "seqpos_slice", "training_tokens", "sae_lens_training_version",
    "neuronpedia_id", "model_from_pretrained_kwargs",
)  # fmt: skip


class SAELensAdapter:
    """Wraps an SAELens SAE (version 5 or 6).

    Heads are flat: an SAE on `attn.hook_z` reads (..., heads * d_head), as this package's language models give it.
    `codes_only` is set by whoever knows that the reconstruction means nothing.
    An SAE that normalises each token decodes with the statistics of the tokens that it encoded last; its decoder
    counts as not linear.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.cfg = _config(inner)
        self.caveats: tuple[str, ...] = ()
        self.codes_only = ""
        stated = {name: _stated(inner.cfg, name) for name in ("prepend_bos", "seqpos_slice")}
        self.trained_with = {name: value for name, value in stated.items() if value is not None}
        self.decoder_is_linear = self.cfg.normalize_activations not in PER_TOKEN_NORMALIZATIONS
        self._reads_heads = getattr(inner.cfg, "reshape_activations", "none") == "hook_z" or bool(
            getattr(inner, "hook_z_reshaping_mode", False)
        )
        self._norm_state: dict[str, Tensor] = {}
        if self._reads_heads:  # SAELens learns the head size from the first input
            self.encode(torch.zeros(1, self.cfg.d_in, dtype=self.dtype, device=self.device))

    def __getattr__(self, name: str) -> Any:
        """Weights by their SAELens names (`W_enc`, `b_enc`, `threshold`, ...)."""
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def W_dec(self) -> Tensor:
        return self.inner.W_dec

    @property
    def dtype(self) -> torch.dtype:
        return self.inner.W_dec.dtype

    @property
    def device(self) -> torch.device:
        return self.inner.W_dec.device

    @property
    def supports_sparse(self) -> bool:
        """Whether every token has at most k active latents."""
        return self.cfg.architecture == "topk" and getattr(self.inner.cfg, "k", None) is not None

    @property
    def scaled_with_norm(self) -> tuple[str, ...] | None:
        """Which tensors scale with the decoder norm when that is folded; None where folding is not exact."""
        if self.cfg.architecture == "topk" and self._rescales:
            return ("b_enc",)
        return SAE_LENS[self.cfg.architecture][1].folds if self.cfg.architecture in SAE_LENS else None

    @property
    def _rescales(self) -> bool:
        return bool(getattr(self.inner.cfg, "rescale_acts_by_decoder_norm", False))

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        codes = self.inner.encode(self._as_heads(x))
        self._keep_norm_state()
        return codes

    def encode_sparse(self, x_ND: Float[Tensor, "N D"]) -> SparseCodes:
        """The k largest pre-activations of each token, for TopK SAEs.

        Raises:
            UsageError: the architecture has no fixed number of active latents.
        """
        if not self.supports_sparse:
            raise UsageError(f"a {self.cfg.architecture} SAE has no fixed number of active latents; use encode().")
        inner = self.inner
        pre_NF = inner.process_sae_in(self._as_heads(x_ND)) @ inner.W_enc + inner.b_enc
        self._keep_norm_state()
        if self._rescales:
            pre_NF = pre_NF * inner.W_dec.norm(dim=-1)
        return largest(pre_NF, int(inner.cfg.k))

    def decode(self, f: Float[Tensor, "*N F"]) -> Float[Tensor, "*N D"]:
        """Reconstructions from latents.

        Raises:
            UsageError: the SAE normalises each token and has not just encoded as many of them.
        """
        if not self.decoder_is_linear:
            self._restore_norm_state(f)
        decoded = self.inner.decode(f)
        return decoded.flatten(-2) if decoded.ndim > f.ndim else decoded

    def forward(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N O"]:
        """Reconstructions from activations; a transcoder's predictions, its skip path included."""
        decoded, skipped = self.decode(self.encode(x)), skip_path(self.inner, x)
        return decoded if skipped is None else decoded + skipped

    __call__ = forward

    def to(self, *args: Any, **kwargs: Any) -> SAELensAdapter:
        """Move or cast, as `torch.nn.Module.to`; the configuration is replaced, not changed."""
        threshold = getattr(self.inner, "threshold", None)
        before = threshold.detach() if isinstance(threshold, Tensor) else None
        self.inner = self.inner.to(*args, **kwargs)
        if before is not None:
            keep_wide(self.inner.threshold, before)
        self.cfg = _config(self.inner)
        return self

    def _as_heads(self, x: Tensor) -> Tensor:
        """One head as wide as all of them: SAELens flattens heads itself."""
        return x.unsqueeze(-2) if self._reads_heads else x

    def _keep_norm_state(self) -> None:
        self._norm_state = {name: value for name in _NORM_STATE if (value := _state(self.inner, name)) is not None}

    def _restore_norm_state(self, f: Tensor) -> None:
        shapes = {tuple(value.shape[:-1]) for value in self._norm_state.values()}
        if shapes != {tuple(f.shape[:-1])}:
            raise UsageError(
                "this SAE normalises each token before it encodes, so it can only decode the tokens it encoded last; "
                f"it was asked for {tuple(f.shape[:-1])}, the last ones were {sorted(shapes) or 'none'}."
            )
        for name, value in self._norm_state.items():
            setattr(self.inner, name, value)


def _state(inner: Any, name: str) -> Tensor | None:
    value = inner.__dict__.get(name)
    return value if isinstance(value, Tensor) else None


def _stated(cfg: Any, name: str) -> Any:
    """A field of an SAELens configuration or of its metadata; None where neither has it."""
    for holder in (cfg, getattr(cfg, "metadata", None)):
        value = getattr(holder, name, None)
        if value is not None:
            return value
    return None


def _config(inner: Any) -> CustomSAEConfig:
    cfg = inner.cfg

    def get(name: str, default: Any = None) -> Any:
        value = _stated(cfg, name)
        return default if value is None else value

    architecture = cfg.architecture() if callable(cfg.architecture) else cfg.architecture
    if get("activation_fn_str") == "topk":
        architecture = "topk"
    hook_name = str(get("hook_name", ""))
    match = hook_name.split(".")
    layer = int(match[1]) if len(match) > 1 and match[1].isdigit() else 0
    extra = {name: value for name in _COPIED if (value := get(name)) is not None}
    kind = CustomSAEConfig
    if hook_name_out := get("hook_name_out"):
        kind = TranscoderConfig
        extra |= {"hook_name_out": str(hook_name_out), "d_out": int(inner.W_dec.shape[-1])}
    return kind(
        str(get("model_name", "")),
        int(cfg.d_in),
        int(cfg.d_sae),
        layer,
        hook_name,
        architecture=str(architecture),
        normalize_activations=str(get("normalize_activations", "none")),
        dtype=str(inner.W_dec.dtype).removeprefix("torch."),
        device=str(inner.W_dec.device),
        **extra,
    )
