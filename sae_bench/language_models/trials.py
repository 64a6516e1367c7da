"""What a loaded model can do, found by trying it on a few tokens.

A model that fails in any way at a trial cannot do what was tried: the slower, general path is taken then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from sae_bench.language_models.layout import TokenTree, lay_out
from sae_bench.language_models.text_cache import TextCache

logger = logging.getLogger(__name__)

EXACT, ROUNDED = 1e-4, 3e-2
"""How far equal hidden states may lie apart, relative to the largest entry, in full and in half precision."""

NORM_BEFORE_MLP = "norm_before_mlp"
_SUM = (
    "is not what joins the residual stream of {layer}: stream before + attention + MLP differ from the stream after by "
    "{distance:.2g} of its size (a layer that adds the stream inside, scales or normalises what it adds)."
)
_READ = "is not known in {layer}: its MLP does not read what the norm gives that is named as the one before it."
BETWEEN_THE_ENDS = {"hook_attn_out": _SUM, "hook_mlp_out": _SUM, "hook_resid_mid": _READ, "ln2.hook_normalized": _READ}
"""Kind of hook -> why it is not what it is named after, where a trial shows that it is not."""


@runtime_checkable
class Reader(Protocol):
    """What a trial needs of a language model."""

    @property
    def final_hidden(self) -> Callable[..., Tensor]: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def d_vocab(self) -> int: ...


def trial_ids(n_tokens: int, lm: Reader) -> Tensor:
    """Some token ids that differ from one another."""
    return (torch.arange(n_tokens) * 7 + 3).remainder(lm.d_vocab)


@torch.no_grad()
def lays_texts_over(lm: Reader) -> bool:
    """Whether two texts that share the tokens of their beginning have the hidden states of each on its own."""
    ids = trial_ids(16, lm).tolist()
    texts = [ids[:10], [*ids[:5], *ids[10:]]]
    tree = TokenTree.of(texts)
    outcomes: list[bool] = []
    with _failure_is_no("laying texts over one another"):
        hidden_LD = lm.final_hidden(torch.tensor([tree.ids]), layout=lay_out([tree]))[0].float()
        for text, path in zip(texts, tree.paths, strict=True):
            expected_LD = lm.final_hidden(torch.tensor([text]))[0].float()
            outcomes.append(_alike(hidden_LD[list(path)], expected_LD, lm.dtype))
    return len(outcomes) == len(texts) and all(outcomes)


@torch.no_grad()
def reads_on(lm: Reader) -> bool:
    """Whether texts that are read in two parts, padded in between, have the hidden states of one reading."""
    ids = trial_ids(16, lm)
    begin_BP = torch.stack([ids[:4], ids[4:8]])
    rest_BL = torch.stack([ids[8:11], ids[11:14]])
    real_BP = torch.tensor([[True, True, True, True], [True, True, False, False]])
    outcomes: list[bool] = []
    with _failure_is_no("reading a text in parts"):
        cache = TextCache()
        lm.final_hidden(begin_BP, attention_mask_BL=real_BP.long(), cache=cache)
        hidden_BLD = lm.final_hidden(rest_BL, cache=TextCache(cache.past().select(torch.tensor([0, 1])))).float()
        for text, n_before in enumerate((4, 2)):
            whole = torch.cat([begin_BP[text, :n_before], rest_BL[text]])
            expected_LD = lm.final_hidden(whole[None])[0, n_before:].float()
            outcomes.append(_alike(hidden_BLD[text], expected_LD, lm.dtype))
    return len(outcomes) == 2 and all(outcomes)


def wrong_parts(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Which values of a layer are not what their hooks are named after, and how far off they are.

    Checked are attn = mid - pre and mlp = post - mid, or attn + mlp = post - pre where there is no stream in between;
    and that the MLP reads what the norm between mid and MLP gives.

    Args:
        values: kind of hook (`hook_resid_pre`, `hook_attn_out`, ...) -> (B, L, D) values of one layer; under
            `NORM_BEFORE_MLP` what that norm gives.
    Returns:
        kind -> largest distance relative to the values of its token; empty where all fit (or are not finite numbers).
    """
    wrong: dict[str, float] = {}
    read, normalised = (values.get(kind) for kind in ("mlp.hook_in", NORM_BEFORE_MLP))
    if read is not None and normalised is not None and not torch.equal(read, normalised):
        wrong = dict.fromkeys(("hook_resid_mid", "ln2.hook_normalized"), float((read - normalised).abs().max()))
    values = {kind: value for kind, value in values.items() if kind not in ("mlp.hook_in", NORM_BEFORE_MLP)}
    if "hook_resid_mid" in wrong:
        values.pop("hook_resid_mid", None)
    pre, post = values["hook_resid_pre"], values["hook_resid_post"]
    attention, mid, mlp = (values.get(kind) for kind in ("hook_attn_out", "hook_resid_mid", "hook_mlp_out"))
    sums: list[tuple[tuple[str, ...], Tensor, Tensor]] = []
    if mid is not None:
        sums += [(("hook_attn_out",), pre + attention, mid)] if attention is not None else []
        sums += [(("hook_mlp_out",), mid + mlp, post)] if mlp is not None else []
    elif attention is not None and mlp is not None:
        sums.append((("hook_attn_out", "hook_mlp_out"), pre + attention + mlp, post))
    for kinds, total_BLD, stream_BLD in sums:
        scale_BL = torch.stack([value.float().abs().amax(dim=-1) for value in values.values()]).amax(dim=0)
        distance_BL = (total_BLD.float() - stream_BLD.float()).abs().amax(dim=-1) / scale_BL
        if float(distance_BL.max()) > 4 * torch.finfo(post.dtype).eps:  # a few roundings, relative to the token
            wrong |= dict.fromkeys(kinds, float(distance_BL.max()))
    return wrong


def _alike(one_LD: Tensor, other_LD: Tensor, dtype: torch.dtype) -> bool:
    tolerance = ROUNDED if dtype in (torch.bfloat16, torch.float16) else EXACT
    return bool((one_LD - other_LD).abs().max() <= tolerance * other_LD.abs().max())


@contextmanager
def _failure_is_no(what: str) -> Iterator[Any]:
    """Models fail at what they were not made for in ways of their own; each of them is an answer."""
    try:
        yield
    except Exception as error:
        logger.info("the model cannot do this: %s (%s: %s)", what, type(error).__name__, error)
