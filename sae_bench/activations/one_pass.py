"""The one pass: every distinct text goes through the model once, every token through each SAE once.

Requests of all evals are merged. Pooled texts are bucketed by length and deduplicated over evals; packed rows keep
their batches. An SAE that fails is dropped with its exception, the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

import torch
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch, bucket_by_length, pad
from sae_bench.activations.pooled import PooledActivations, PooledCodes
from sae_bench.activations.requests import PooledTexts, Request, TokenRows
from sae_bench.activations.store import ActivationStore
from sae_bench.custom_saes.interface import SparseCodes, encode_tokens
from sae_bench.custom_saes.members import Member
from sae_bench.language_models import LanguageModel

logger = logging.getLogger(__name__)


@dataclass
class PassOptions:
    """How the pass runs; none of it changes what is computed beyond rounding."""

    max_texts: int = 256
    max_tokens: int = 4096
    store: ActivationStore | None = None
    on_progress: Callable[[int], None] | None = None


@dataclass
class PassReport:
    """What happened: failed SAEs, tokens, and seconds in the model, in the SAEs and in the consumers."""

    failed: dict[str, Exception] = field(default_factory=dict)
    n_texts: int = 0
    n_tokens: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"lm_pass": 0.0, "sae_encode": 0.0, "consume": 0.0})


@torch.no_grad()
def run_pass(
    lm: LanguageModel, requests: Sequence[Request], members: Sequence[Member], options: PassOptions | None = None
) -> PassReport:
    """Serve all requests for all SAEs.

    Args:
        requests: what the evals asked for; `PooledTexts` are filled, consumers of `TokenRows` are fed.
        members: SAEs, at one or several hooks.
    Returns:
        the report; `report.failed` maps the key of an SAE that raised to its exception.
    """
    options = options or PassOptions()
    runner = _Pass(lm, list(members), options)
    pooled = [r for r in requests if isinstance(r, PooledTexts)]
    if pooled:
        runner.pool(pooled)
    for request in requests:
        if isinstance(request, TokenRows):
            runner.feed(request)
    return runner.report


def count_tokens(requests: Sequence[Request]) -> int:
    """Tokens that a pass over these requests reads: the length of its progress bar."""
    texts = {tuple(ids) for r in requests if isinstance(r, PooledTexts) for ids in r.token_ids}
    return sum(len(t) for t in texts) + sum(r.rows_NL.numel() for r in requests if isinstance(r, TokenRows))


class _Pass:
    def __init__(self, lm: LanguageModel, members: list[Member], options: PassOptions) -> None:
        self.lm = lm
        self.members = members
        self.hooks = sorted({m.hook_name for m in members})
        self.options = options
        self.report = PassReport()

    def pool(self, requests: list[PooledTexts]) -> None:
        """Run the union of the texts and hand every request its rows of it."""
        row_of: dict[tuple[int, ...], int] = {}
        for request in requests:
            rows = [row_of.setdefault(tuple(ids), len(row_of)) for ids in request.token_ids]
            request.index_T = torch.tensor(rows, dtype=torch.long)
        texts = list(row_of)
        activations: dict[str, PooledActivations] = {}
        codes = {m.key: PooledCodes(len(texts), int(m.sae.cfg.d_sae)) for m in self.members}
        for batch in self._text_batches(texts):
            for hook in self.hooks:
                if hook not in activations:
                    activations[hook] = PooledActivations(len(texts), batch.x_BLD[hook].shape[-1])
                activations[hook].update(batch, hook)
            for member, code in self._encode(batch):
                codes[member.key].update(batch, code)
        empty = max((a.empty for a in activations.values()), default=0)
        if empty:
            logger.warning("%d texts have no token besides special ones; their pooled vectors are zero", empty)
        finished = {m.key: codes[m.key].finish() for m in self.members}
        for request in requests:
            request.activations = {hook: a.mean_TD for hook, a in activations.items()}
            request.codes = finished

    def feed(self, request: TokenRows) -> None:
        """Run packed rows in their own batches."""
        consumer = request.consumer
        special = torch.tensor(sorted(self.lm.special_token_ids), dtype=torch.long)
        for start in range(0, len(request.rows_NL), request.batch_rows):
            ids = request.rows_NL[start : start + request.batch_rows]
            hooks = [*self.hooks, *(h for h in request.extra_hooks if h not in self.hooks)]
            batch = self._capture(range(start, start + len(ids)), ids, ~torch.isin(ids, special), hooks)
            self._timed("consume", partial(consumer.on_activations, batch))
            for member, code in self._encode(batch, on_drop=consumer.drop):
                try:
                    self._timed("consume", partial(consumer.on_codes, batch, member, code))
                except Exception as error:
                    self._drop(member, error)
                    consumer.drop(member)
            self._timed("consume", partial(consumer.on_batch_end, batch))

    def _text_batches(self, texts: list[tuple[int, ...]]) -> Iterator[ActivationBatch]:
        lengths = [len(t) for t in texts]
        buckets = bucket_by_length(lengths, max_tokens=self.options.max_tokens, max_texts=self.options.max_texts)
        for rows in buckets:
            ids, valid = pad([texts[r] for r in rows], self.lm)
            yield self._capture(rows, ids, valid, self.hooks)

    def _capture(self, rows: Sequence[int], ids_BL: Tensor, valid_BL: Tensor, hooks: Sequence[str]) -> ActivationBatch:
        start = perf_counter()
        values = self._activations(ids_BL, hooks)
        self.report.seconds["lm_pass"] += perf_counter() - start
        self.report.n_texts += len(rows)
        self.report.n_tokens += ids_BL.numel()
        if self.options.on_progress is not None:
            self.options.on_progress(int(ids_BL.numel()))
        device = self.lm.device
        return ActivationBatch(tuple(rows), ids_BL.to(device), valid_BL.to(device), values)

    def _activations(self, ids_BL: Tensor, hooks: Sequence[str]) -> dict[str, Tensor]:
        store = self.options.store
        if store is not None and (kept := store.load(self.lm, hooks, ids_BL)) is not None:
            return kept
        values = capture_with_halving(self.lm, ids_BL, hooks)
        if store is not None:
            store.save(self.lm, ids_BL, values)
        return values

    def _encode(
        self, batch: ActivationBatch, on_drop: Callable[[Member], None] | None = None
    ) -> Iterator[tuple[Member, SparseCodes | Tensor]]:
        tokens = {hook: batch.tokens(hook) for hook in self.hooks}
        for member in list(self.members):
            start = perf_counter()
            try:
                code = encode_tokens(member.sae, tokens[member.hook_name].to(member.sae.W_dec.dtype))
            except Exception as error:
                self._drop(member, error)
                if on_drop is not None:
                    on_drop(member)
                continue
            finally:
                self.report.seconds["sae_encode"] += perf_counter() - start
            yield member, code

    def _drop(self, member: Member, error: Exception) -> None:
        """An SAE's own failure must not stop the others; the exception is reported with its traceback."""
        logger.error("%s failed and is left out: %s", member.key, error)
        self.report.failed[member.key] = error
        self.members.remove(member)

    def _timed(self, phase: str, call: Callable[[], None]) -> None:
        start = perf_counter()
        call()
        self.report.seconds[phase] += perf_counter() - start


def capture_with_halving(lm: LanguageModel, ids_BL: Tensor, hooks: Sequence[str]) -> dict[str, Tensor]:
    """Capture at `hooks`; when the device runs out of memory, run the two halves of the batch one after the other."""
    try:
        return lm.capture(ids_BL, hooks)
    except torch.OutOfMemoryError:
        if len(ids_BL) == 1:
            raise
    half = len(ids_BL) // 2
    logger.warning("out of memory on a batch of %d texts; going on with halves of %d", len(ids_BL), half)
    torch.cuda.empty_cache()
    parts = [capture_with_halving(lm, part, hooks) for part in (ids_BL[:half], ids_BL[half:])]
    return {hook: torch.cat([part[hook] for part in parts]) for hook in hooks}
