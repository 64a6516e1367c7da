"""One face for every Hugging Face causal LM: capture at hooks, run on from a layer, loss and logits in chunks.

Shapes: B batch, L sequence, D d_model, V vocabulary, N tokens.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sae_bench.errors import HookError, UsageError
from sae_bench.language_models import trials
from sae_bench.language_models.aliases import ModelKind
from sae_bench.language_models.fingerprint import hash_of_model, plain_weights
from sae_bench.language_models.hooks import (
    HookPoint,
    HookSite,
    find_decoder,
    find_layers,
    hooks_side_by_side,
    locate,
    parse_hook_name,
)
from sae_bench.language_models.interventions import Replacement, Resume, check_resume, intervene, start_from
from sae_bench.language_models.layout import TokenLayout
from sae_bench.language_models.numbers import quantisation_of
from sae_bench.language_models.placement import device_of, real_weights
from sae_bench.language_models.structure import check_structure, misnamed_hooks
from sae_bench.language_models.text_cache import TextCache
from sae_bench.language_models.token_choice import ALL_TOKENS, TokenChoice
from sae_bench.language_models.token_texts import TokenTexts

TEXTS_AT_ONCE = 1024


class _AllCaptured(Exception):
    """Leaves the forward pass as soon as the last requested hook has fired."""


class LanguageModel:
    """A causal LM with its tokenizer, addressed by TransformerLens-style hook names.

    `choice` says which tokens SAEs read. The model is put into evaluation mode; no method keeps a gradient unless
    `torch.enable_grad` is on and an input requires one. Instances are not safe for concurrent use: a pass attaches
    hooks to the modules it reads.
    """

    choice: TokenChoice = ALL_TOKENS

    def __init__(self, model: Any, tokenizer: Any, *, name: str, prepend_bos: bool | None = None) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.base: nn.Module = find_decoder(model)
        self.layers = find_layers(self.base)
        self.embedding: nn.Embedding = model.get_input_embeddings()
        self.bos_token_id: int | None = tokenizer.bos_token_id if tokenizer is not None else None
        self.prepend_bos = self._take_bos(prepend_bos)
        self._forward_names = frozenset(inspect.signature(self.base.forward).parameters)
        self._beside_stream: int | None = None
        self._shares_beginnings: bool | None = None
        self._reads_on: bool | None = None
        self._wrong_parts: dict[int, dict[str, float]] = {}
        self._fingerprint: tuple[tuple[object, ...], str] | None = None
        self._beside_stream = check_structure(self)

    # ---- facts

    @property
    def kind(self) -> ModelKind:
        """A model of language; subclasses may be something else."""
        return "language"

    @property
    def device(self) -> torch.device:
        """Where token ids go in and what is read comes out, also of a model that is on several devices."""
        return device_of(self.embedding)

    @property
    def device_map(self) -> dict[str, str] | None:
        """Module -> device (or `disk`), if parts of the model are on several; None if all is on one."""
        where = {module: str(place) for module, place in (getattr(self.model, "hf_device_map", None) or {}).items()}
        return where if len(set(where.values())) > 1 or "disk" in where.values() else None

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.weight.dtype

    @property
    def attention(self) -> str | None:
        """How attention is computed, as transformers calls it; rounding goes by it."""
        return getattr(self.config, "_attn_implementation", None)

    @property
    def quantisation(self) -> str | None:
        """`8bit` or `4bit` if bitsandbytes quantised the weights, another method by name, None if they are whole."""
        return quantisation_of(self.model)

    @property
    def config(self) -> Any:
        """The text part of the model's configuration."""
        return self.model.config.get_text_config()

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    @property
    def d_model(self) -> int:
        return int(self.config.hidden_size)

    @property
    def d_vocab(self) -> int:
        return int(self.model.get_output_embeddings().weight.shape[0])

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights, wherever they are."""
        return sum(weight.nbytes for weight in self.model.parameters())

    @property
    def special_token_ids(self) -> frozenset[int]:
        """BOS, EOS and PAD: the tokens that evals leave out anyway."""
        if self.tokenizer is None:
            return frozenset()
        ids = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.tokenizer.pad_token_id)
        return frozenset(int(i) for i in ids if i is not None)

    def is_read(self, ids_BL: Int[Tensor, "B L"]) -> Bool[Tensor, "B L"]:
        """Which tokens SAEs read, of texts (or rows) that start at place 0: none that is special, and by `choice`."""
        special = torch.tensor(sorted(self.special_token_ids), dtype=ids_BL.dtype, device=ids_BL.device)
        return ~torch.isin(ids_BL, special) & self.choice.keeps(ids_BL)

    def reading(self, choice: TokenChoice, *, prepend_bos: bool | None = None) -> LanguageModel:
        """The same weights with another choice of tokens; this object stays as it is.

        Args:
            choice: which tokens SAEs read.
            prepend_bos: whether texts start with BOS; None leaves it as it is.
        Raises:
            UsageError: there is no BOS token, or a token id that the model does not have is to be left out.
        """
        unknown = sorted(token for token in choice.excluded if not 0 <= token < self.d_vocab)
        if unknown:
            raise UsageError(f"exclude_tokens: '{self.name}' has token ids 0 to {self.d_vocab - 1}, not {unknown}.")
        other = copy.copy(self)
        other.choice, other._fingerprint = choice, None
        other.prepend_bos = self.prepend_bos if prepend_bos is None else self._take_bos(prepend_bos)
        return other

    def _take_bos(self, asked: bool | None) -> bool:
        """Whether texts start with BOS: as asked, and by default wherever the tokenizer has one."""
        if asked and self.bos_token_id is None:
            raise UsageError(f"prepend_bos is set, but the tokenizer of '{self.name}' has no BOS token.")
        return self.bos_token_id is not None if asked is None else asked

    def check_readable(self, hook: str) -> None:
        """Raise `HookError` unless `capture` can give the values under a name, of one layer or of several."""
        for name in hooks_side_by_side(hook):
            self.hook_site(name)

    def hook_site(self, hook: str | HookPoint) -> HookSite:
        """The module and side of a hook. Raises `HookError` if this model does not have it.

        Where a layer has what stands between its ends is tried on a few tokens: what attention and MLP write has to add
        up to the residual stream after the layer, and the MLP has to read what its norm gives.
        """
        point = parse_hook_name(hook) if isinstance(hook, str) else hook
        site = locate(point, self.layers, self.embedding)
        if point.kind in trials.BETWEEN_THE_ENDS:
            if point.layer not in self._wrong_parts:
                self._wrong_parts[point.layer] = misnamed_hooks(self, point.layer)
            distance = self._wrong_parts[point.layer].get(point.kind)
            if distance is not None:
                reason = trials.BETWEEN_THE_ENDS[point.kind].format(
                    layer=type(self.layers[point.layer]).__name__, distance=distance
                )
                raise HookError(
                    f"'{point.name}' {reason} Next: take blocks.{point.layer}.hook_resid_post or hook_resid_pre."
                )
        return site

    def fingerprint(self) -> str:
        """A short hash of configuration, dtype, weights, BOS, attention, choice of tokens: the key of anything cached.

        The device is no part of it.
        Reading all weights takes seconds, so it is done again only after one of them was written to.
        """
        weights = list(plain_weights(sorted(self.model.state_dict().items())))
        state = (
            self.prepend_bos,
            self.choice,
            *((weight.data_ptr(), weight.dtype, weight._version) for _, weight in weights),
        )
        if self._fingerprint is None or self._fingerprint[0] != state:
            weights_now = plain_weights(real_weights(self.model))
            self._fingerprint = (state, hash_of_model(self.model.config.to_dict(), self._beside_weights(), weights_now))
        return self._fingerprint[1]

    def _beside_weights(self) -> str:
        """What the fingerprint knows of this object beside configuration and weights."""
        chosen = "" if self.choice == ALL_TOKENS else f" {self.choice.positions} {sorted(self.choice.excluded)}"
        usual = "sdpa" if getattr(self.base, "_supports_sdpa", False) else "eager"
        attention = "" if self.attention in (None, usual) else f" attention={self.attention}"
        others = {b.dtype for b in self.model.buffers() if b.is_floating_point() and b.dtype != self.dtype}
        mixed = "".join(f" and {dtype}" for dtype in sorted(map(str, others)))  # as rotary frequencies in float32
        return f"{self.dtype}{mixed} bos={self.prepend_bos}{chosen}{attention}"

    # ---- tokens

    def tokenize(self, texts: Sequence[str], *, max_length: int | None = None) -> TokenTexts:
        """Token ids of each text, BOS first where this model takes one, cut to its first `max_length` tokens.

        Raises:
            UsageError: `max_length` is below 1.
        """
        if max_length is not None and max_length < 1:
            raise UsageError(f"max_length is {max_length}; texts need room for at least 1 token.")
        start = [self.bos_token_id] if self.prepend_bos else []
        tokens = TokenTexts()
        for first in range(0, len(texts), TEXTS_AT_ONCE):  # the tokenizer's lists are let go part by part
            part = list(texts[first : first + TEXTS_AT_ONCE])
            encoded = self.tokenizer(part, add_special_tokens=False, padding=False, verbose=False)["input_ids"]
            tokens.extend([*start, *ids][:max_length] for ids in encoded)
        return tokens

    # ---- forward passes

    def capture(
        self,
        input_ids_BL: Int[Tensor, "B L"],
        hooks: Sequence[str],
        *,
        attention_mask_BL: Int[Tensor, "B L"] | None = None,
        resume: Resume | None = None,
        layout: TokenLayout | None = None,
        cache: TextCache | None = None,
    ) -> dict[str, Tensor]:
        """Values at `hooks`, leaving the forward pass as soon as the last of them is known.

        Args:
            input_ids_BL: token ids.
            hooks: hook names; heads are flattened, so `attn.hook_z` is (B, L, heads * d_head). The values of several
                layers stand side by side under `blocks.0-5.mlp.hook_in` and its kin.
            attention_mask_BL: 1 for real tokens. Right-padded batches of a causal model do not need it: what comes
                after a token cannot change the token, and passes without a mask run faster.
            resume: start from this residual stream instead of from the embedding.
            layout: positions and sight of tokens that are no plain rows; no attention mask then.
            cache: the tokens go on from what it has read. It cannot be used again: later layers have not read them.
        Returns:
            hook name -> (B, L, d) tensor.
        Raises:
            HookError: this model does not have a hook, or `resume` starts behind it.
        """
        captured: dict[str, Tensor] = {}
        parts_of = {name: hooks_side_by_side(name) for name in hooks}
        wanted = tuple(dict.fromkeys(part for parts in parts_of.values() for part in parts))
        if not wanted:
            return captured

        def keep(name: str) -> Replacement:
            def hook(value: Tensor) -> Tensor:
                captured[name] = value
                if len(captured) == len(wanted):
                    raise _AllCaptured
                return value

            return hook

        functions = {name: keep(name) for name in wanted}
        with suppress(_AllCaptured), self._changed(functions, resume, input_ids_BL.shape):
            self._run_base(input_ids_BL, attention_mask_BL, layout, cache)
        return {
            name: captured[name] if parts == (name,) else torch.cat([captured[part] for part in parts], dim=-1)
            for name, parts in parts_of.items()
        }

    def final_hidden(
        self,
        input_ids_BL: Int[Tensor, "B L"],
        *,
        attention_mask_BL: Int[Tensor, "B L"] | None = None,
        replace: Mapping[str, Replacement] | None = None,
        resume: Resume | None = None,
        layout: TokenLayout | None = None,
        cache: TextCache | None = None,
    ) -> Float[Tensor, "B L D"]:
        """Hidden states after the final norm: what the unembedding reads.

        Args:
            replace: hook name -> function from the value there to the value that takes its place.
            resume: skip the layers before `resume.layer` and start from its residual stream (bit for bit the full
                forward when that stream is what the full forward had there).
            layout: as in `capture`; `shares_beginnings` tells whether this model can do it.
            cache: the tokens go on from what it has read, and are read into it; `reads_on` tells whether this model
                can do it.
        Raises:
            HookError: this model does not have a hook, or `resume` starts behind it.
        """
        with self._changed(replace or {}, resume, input_ids_BL.shape):
            return self._run_base(input_ids_BL, attention_mask_BL, layout, cache)

    def shares_beginnings(self) -> bool:
        """Whether two texts laid over one another give the hidden states that they give each on its own.

        Not so for models with positions or memories of their own making (ALiBi, state spaces); found by trying, once.
        """
        if self._shares_beginnings is None:
            self._shares_beginnings = "position_ids" in self._forward_names and trials.lays_texts_over(self)
        return self._shares_beginnings

    def reads_on(self) -> bool:
        """Whether a text can be read in parts with a `TextCache`; found by trying, once.

        Not so for models with memories other than keys and values, or positions of their own making.
        """
        if self._reads_on is None:
            self._reads_on = "position_ids" in self._forward_names and trials.reads_on(self)
        return self._reads_on

    @property
    def stop_token_ids(self) -> frozenset[int]:
        """Tokens that end a text which the model writes."""
        stop = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        if stop is None and self.tokenizer is not None:
            stop = self.tokenizer.eos_token_id
        return frozenset([] if stop is None else [stop] if isinstance(stop, int) else stop)

    def unembed(self, hidden_ND: Float[Tensor, "*N D"]) -> Float[Tensor, "*N V"]:
        """Logits of final hidden states, with the model's own scaling and soft cap."""
        return self._scaled(self.model.get_output_embeddings()(hidden_ND).to(hidden_ND.device))

    @property
    def unembeds_in_parts(self) -> bool:
        """Whether the head is a plain linear layer, of which a part of the vocabulary can be taken.

        Not so with hooks, or with a forward of its own (as accelerate gives modules that it moves between devices).
        """
        head = self.model.get_output_embeddings()
        plain = type(head) is nn.Linear and type(head.weight) is nn.Parameter and "forward" not in vars(head)
        return plain and not head._forward_hooks and not head._forward_pre_hooks

    def unembed_in_parts(
        self, hidden_ND: Float[Tensor, "*N D"], entries: int
    ) -> Iterator[tuple[slice, Float[Tensor, "*N P"]]]:
        """Logits of up to `entries` neighbouring vocabulary entries at a time, and which entries they are.

        A head that cannot be taken in parts (`unembeds_in_parts`) gives the whole vocabulary at once.
        """
        if not self.unembeds_in_parts:
            yield slice(0, self.d_vocab), self.unembed(hidden_ND)
            return
        head = self.model.get_output_embeddings()
        for start in range(0, self.d_vocab, entries):
            part = slice(start, min(start + entries, self.d_vocab))
            bias = None if head.bias is None else head.bias[part]
            yield part, self._scaled(nn.functional.linear(hidden_ND, head.weight[part], bias))

    def _scaled(self, logits: Tensor) -> Tensor:
        scale = getattr(self.config, "logit_scale", None)
        if scale is not None:
            logits = logits * scale
        divisor = getattr(self.config, "logits_scaling", None)
        if divisor is not None:
            logits = logits / divisor
        cap = getattr(self.config, "final_logit_softcapping", None)
        if cap is not None:
            logits = torch.tanh(logits / cap) * cap
        return logits

    # ---- internals

    def _run_base(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        layout: TokenLayout | None = None,
        cache: TextCache | None = None,
    ) -> Tensor:
        kwargs: dict[str, Any] = {"input_ids": input_ids.to(self.device), "use_cache": False}
        if cache is not None:
            real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            kwargs |= cache.arguments(real.bool().to(self.device))
        elif layout is not None:
            kwargs["attention_mask"] = layout.mask(self.dtype, self.device)
            kwargs["position_ids"] = layout.position_BL.to(self.device)
        elif attention_mask is not None:
            mask = attention_mask.to(self.device)
            kwargs["attention_mask"] = mask
            if "position_ids" in self._forward_names:
                kwargs["position_ids"] = (mask.long().cumsum(-1) - 1).clamp(min=0)
        return self.base(**kwargs).last_hidden_state.to(self.device)

    @contextmanager
    def _changed(
        self, functions: Mapping[str, Replacement], resume: Resume | None, batch_shape: torch.Size
    ) -> Iterator[None]:
        """While open, the forward pass starts at `resume` and passes values at hooks through `functions`."""
        points = [parse_hook_name(name) for name in functions]
        sites = [self.hook_site(point) for point in points]
        with ExitStack() as stack:
            if resume is not None:
                check_resume(resume, points, n_layers=self.n_layers, batch_shape=batch_shape)
                stack.enter_context(start_from(resume, self.layers, beside_stream=self._beside_stream))
            for site, function in zip(sites, functions.values(), strict=True):
                stack.enter_context(intervene(site, function, batch_shape=batch_shape, device=self.device))
            yield
