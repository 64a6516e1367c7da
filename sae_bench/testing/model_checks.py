"""What every language model has to keep, as named checks: `for check in check_model(lm): check()`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sae_bench.language_models import LanguageModel, Resume
from sae_bench.testing.checks import Check, declared

TEXTS = ("The cat sat on the mat.", "A river", "", "She wrote a short program that counts words in a file.")
N_ROWS, N_TOKENS = 3, 12
FIRST_TOKEN = 10
"""Token ids below it are often special."""


@dataclass(frozen=True)
class _Subject:
    """The model with the rows that the checks share.

    Attributes:
        ids_BL: random token ids.
        tolerance: how far results may differ by rounding, relative to the largest value.
    """

    lm: LanguageModel
    ids_BL: Tensor
    tolerance: float

    def differs(self, a: Tensor, b: Tensor) -> bool:
        """Whether two tensors differ by more than rounding."""
        size = max(float(a.abs().max()), float(b.abs().max()), 1e-6)
        return a.shape != b.shape or not float((a.double() - b.double()).abs().max()) <= self.tolerance * size


def check_model(
    lm: LanguageModel, *, expected_failures: Mapping[str, str] | None = None, seed: int = 0
) -> Iterator[Check]:
    """The checks of a language model; each takes a few short forward passes.

    Args:
        lm: on any device, in any dtype; it is left as it is.
        expected_failures: name of a check -> why this model cannot keep it.
        seed: of the token ids.
    Raises:
        UsageError: an expected failure names no check.
    """
    generator = torch.Generator().manual_seed(seed)
    ids_BL = torch.randint(FIRST_TOKEN, lm.d_vocab, (N_ROWS, N_TOKENS), generator=generator)
    subject = _Subject(lm, ids_BL, 1e-4 if lm.dtype in (torch.float32, torch.float64) else 5e-2)
    checks = (Check(name, partial(_without_gradients, check, subject)) for name, check in _CHECKS.items())
    yield from declared(checks, expected_failures or {})


@torch.no_grad()
def _without_gradients(check: Callable[[_Subject], Iterator[str]], subject: _Subject) -> Iterator[str]:
    return iter(list(check(subject)))


def _streams(s: _Subject) -> Iterator[str]:
    """Every layer's stream can be read, and one layer's end is the next one's start."""
    hooks = [f"blocks.{layer}.hook_resid_{end}" for layer in range(s.lm.n_layers) for end in ("pre", "post")]
    values = s.lm.capture(s.ids_BL, hooks)
    expected = (*s.ids_BL.shape, s.lm.d_model)
    for hook in hooks:
        if hook not in values or tuple(values[hook].shape) != expected:
            yield f"{hook} gives {tuple(values[hook].shape) if hook in values else 'nothing'}, not {expected}."
            return
    for layer in range(s.lm.n_layers - 1):
        after, before = hooks[2 * layer + 1], hooks[2 * layer + 2]
        if not torch.equal(values[after], values[before]):
            yield f"{after} is not {before}."


def _left_alone(s: _Subject) -> Iterator[str]:
    """Capturing leaves no hooks behind and changes no later pass; weights take no gradients."""
    before = s.lm.final_hidden(s.ids_BL)
    n_hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in s.lm.model.modules())
    s.lm.capture(s.ids_BL, ["blocks.0.hook_resid_post"])
    if n_hooks != sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in s.lm.model.modules()):
        yield "capture leaves hooks on modules."
    if not torch.equal(before, s.lm.final_hidden(s.ids_BL)):
        yield "the same rows give other hidden states the second time (dropout, noise, state?)."
    if s.lm.model.training or any(weight.requires_grad for weight in s.lm.model.parameters()):
        yield "the model is in training mode, or its weights take gradients."


def _resume(s: _Subject) -> Iterator[str]:
    """Going on from the stream of any layer is the full forward pass."""
    whole = s.lm.final_hidden(s.ids_BL)
    for layer in range(s.lm.n_layers):
        hook = f"blocks.{layer}.hook_resid_pre"
        start = Resume(layer, s.lm.capture(s.ids_BL, [hook])[hook])
        if s.differs(s.lm.final_hidden(s.ids_BL, resume=start), whole):
            yield f"going on from {hook} does not give what the full forward pass gives."


def _replace(s: _Subject) -> Iterator[str]:
    """A value put at a hook is what the later layers read."""
    hook = "blocks.0.hook_resid_post"
    whole = s.lm.final_hidden(s.ids_BL)
    if s.differs(s.lm.final_hidden(s.ids_BL, replace={hook: lambda x: x.clone()}), whole):
        yield f"a copy of the value at {hook} changes the result."
    if not s.differs(s.lm.final_hidden(s.ids_BL, replace={hook: lambda x: x.flip(1)}), whole):
        yield f"another value at {hook} does not change the result."


def _batches(s: _Subject) -> Iterator[str]:
    """A row gives the same alone, among others, and padded on either side."""
    whole = s.lm.final_hidden(s.ids_BL)
    for row in range(N_ROWS):
        if s.differs(s.lm.final_hidden(s.ids_BL[row : row + 1])[0], whole[row]):
            yield f"row {row} alone gives other hidden states than among others."
    pad_BP = torch.full((N_ROWS, 4), FIRST_TOKEN)
    mask_BL = torch.cat([torch.zeros_like(pad_BP), torch.ones_like(s.ids_BL)], dim=1)
    if s.differs(s.lm.final_hidden(torch.cat([s.ids_BL, pad_BP], dim=1))[:, :N_TOKENS], whole):
        yield "what comes after a token changes it: the model is not causal."
    left = s.lm.final_hidden(torch.cat([pad_BP, s.ids_BL], dim=1), attention_mask_BL=mask_BL)
    if s.differs(left[:, 4:], whole):
        yield "padding on the left changes the hidden states, although it is masked."


def _logits(s: _Subject) -> Iterator[str]:
    """Logits, whole and in parts of the vocabulary, are those of the model itself."""
    hidden = s.lm.final_hidden(s.ids_BL)
    ids_BL = s.ids_BL.to(s.lm.device)
    logits = s.lm.model(input_ids=ids_BL, use_cache=False).logits
    if s.differs(s.lm.unembed(hidden), logits):
        yield "unembed(final_hidden) differs from the model's own logits (scaling, soft cap?)."
    parts = [part_BLP for _, part_BLP in s.lm.unembed_in_parts(hidden, 1 + s.lm.d_vocab // 2)]
    if s.differs(torch.cat(parts, dim=-1), logits):
        yield "unembed_in_parts(final_hidden) differs from the model's own logits."


def _tokens(s: _Subject) -> Iterator[str]:
    """Texts start with BOS where the model takes one, and never have two; they are cut at the end."""
    start = [s.lm.bos_token_id] if s.lm.prepend_bos else []
    whole = [[int(token) for token in ids] for ids in s.lm.tokenize(TEXTS)]
    for text, ids in zip(TEXTS, whole, strict=True):
        if ids[: len(start)] != start:
            yield f"'{text}' starts with {ids[:1]}, not with BOS {start}."
        if start and ids[1:2] == start:
            yield f"'{text}' has BOS twice."
    cut = [[int(token) for token in ids] for ids in s.lm.tokenize(TEXTS, max_length=3)]
    if cut != [ids[:3] for ids in whole]:
        yield "max_length does not give the first tokens of a text."


def _fingerprint(s: _Subject) -> Iterator[str]:
    """The fingerprint does not change by itself."""
    before = s.lm.fingerprint()
    s.lm.final_hidden(s.ids_BL)
    if s.lm.fingerprint() != before:
        yield "the fingerprint is another one after a forward pass: nothing cached would be found again."


_CHECKS: dict[str, Callable[[_Subject], Iterator[str]]] = {
    "streams": _streams,
    "left_alone": _left_alone,
    "resume": _resume,
    "replace": _replace,
    "batches": _batches,
    "logits": _logits,
    "tokens": _tokens,
    "fingerprint": _fingerprint,
}
