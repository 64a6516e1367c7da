"""The one pass: every distinct text goes through the model once, every token through each SAE once.

Requests of all evals are merged. Pooled texts are bucketed by length and deduplicated over evals; packed rows keep
their batches. An SAE that fails is dropped with its exception, the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch, bucket_by_length
from sae_bench.activations.device_limits import capture_with_halving, tokens_at_once
from sae_bench.activations.encoding import Encoder
from sae_bench.activations.pass_report import PassReport
from sae_bench.activations.requests import PooledTexts, PooledValues, Request, Served, TokenRows, Tokens
from sae_bench.activations.shared_rows import SharedRows, n_tokens_of
from sae_bench.activations.store import ActivationStore
from sae_bench.activations.text_pools import TextPool, last_tokens
from sae_bench.custom_saes.interface import weights_only
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import UsageError
from sae_bench.language_models import LanguageModel, TokenTexts
from sae_bench.language_models.numbers import check_finite
from sae_bench.language_models.token_choice import ALL_TOKENS

logger = logging.getLogger(__name__)


@dataclass
class PassOptions:
    """How the pass runs; none of it changes what is computed beyond rounding.

    `max_tokens` is how many padded tokens the model reads at once; None chooses by device.
    """

    max_texts: int = 256
    max_tokens: int | None = None
    store: ActivationStore | None = None
    on_progress: Callable[[int], None] | None = None


@torch.no_grad()
def run_pass(
    lm: LanguageModel, requests: Sequence[Request], members: Sequence[Member], options: PassOptions | None = None
) -> PassReport:
    """Serve all requests for all SAEs; the requests stay as they are.

    Args:
        requests: what the evals asked for.
        members: SAEs, at one or several hooks.
    Returns:
        the report; `report.served` has what was made of each request: the values of `PooledTexts`, the consumer of
        `TokenRows`.
    """
    options = options or PassOptions()
    runner = _Pass(lm, list(members), options, SharedRows([r for r in requests if isinstance(r, TokenRows)]))
    values = iter(runner.pool([r for r in requests if isinstance(r, PooledTexts)]))
    pooled_at_once = runner.largest
    served: list[Served] = []
    at_once: list[int] = []
    for request in requests:
        if isinstance(request, TokenRows):
            runner.largest = 0
            runner.feed(request)
            served.append(request.consumer)
            at_once.append(runner.largest)
        else:
            served.append(next(values))
            at_once.append(min(pooled_at_once, request.max_texts or pooled_at_once))
    runner.report.served, runner.report.texts_at_once = tuple(served), tuple(at_once)
    return runner.report


def count_tokens(requests: Sequence[Request]) -> int:
    """Tokens that a pass over these requests reads: the length of its progress bar."""
    pooled = sum(lengths_of_texts(requests).values())
    return pooled + n_tokens_of([r for r in requests if isinstance(r, TokenRows)])


def lengths_of_texts(requests: Sequence[Request]) -> dict[bytes, int]:
    """The distinct texts that a pass pools for these requests: hash -> number of tokens."""
    length_of: dict[bytes, int] = {}
    for texts in (TokenTexts.of(r.token_ids) for r in requests if isinstance(r, PooledTexts)):
        length_of |= zip(texts.digests(), texts.lengths.tolist(), strict=True)
    return length_of


class _Pass:
    def __init__(self, lm: LanguageModel, members: list[Member], options: PassOptions, shared: SharedRows) -> None:
        self.lm = lm
        self.members = members
        self.options = options
        self.shared = shared
        self.max_tokens = options.max_tokens or tokens_at_once(lm.device)
        self.report = PassReport()
        self.encoder = Encoder(self.report, lm.device)
        self.largest = 0

    def pool(self, requests: list[PooledTexts]) -> list[PooledValues]:
        """Run the union of the texts; returns every request's rows of it.

        Texts that are wanted whole go first; what is wanted of their last tokens is read off on the way.
        """
        whole, last = self._pool_of("all", requests), self._pool_of("last", requests)
        digests = whole.digests
        seen: set[bytes] = set()
        limits = {key: min(whole.max_texts.get(key, n), n) for key, n in last.max_texts.items()}
        limits = {**whole.max_texts, **limits}
        if whole.members:
            limit_of = [limits.get(digest) for digest in digests]
            for batch in self._text_batches(whole.texts, sorted({*whole.hooks, *last.hooks}), limit_of):
                self._add(batch, whole)
                ends = None
                if last.members:
                    ends = last_tokens(batch, digests, whole.texts.lengths, last.row_of, with_text=last.reads_rows)
                if ends is not None:
                    self._add(ends, last)
                    seen.update(digests[row] for row in batch.rows)
        alone = [row for row, digest in enumerate(last.digests) if digest not in seen]
        limit_of = [limits.get(digest) for digest in last.digests]
        for batch in self._last_token_batches(last, alone, limit_of):
            self._add(batch, last)
        self.encoder.read_checks()
        for pool in (whole, last):
            for member in pool.members:
                if member.key in self.report.failed:  # in the other pool, perhaps
                    pool.drop(member)
        values: dict[Tokens, Iterator[PooledValues]] = {"all": iter(whole.finish()), "last": iter(last.finish())}
        return [next(values[request.tokens]) for request in requests]

    def _pool_of(self, tokens: Tokens, requests: list[PooledTexts]) -> TextPool:
        asking = [request for request in requests if request.tokens == tokens]
        return TextPool(tokens, asking, self._wanted_by(asking))

    def _add(self, batch: ActivationBatch, pool: TextPool) -> None:
        pool.add_activations(batch)
        self.encoder.encode(batch, pool.members, pool.add_codes, on_drop=pool.drop)

    def feed(self, request: TokenRows) -> None:
        """Run packed rows in their own batches, as long as an SAE that wants them is left."""
        consumer = request.consumer
        if not bool(self.lm.is_read(request.rows_NL).any()):
            self._refuse_no_tokens()
        members = self._wanted_by([request])
        hooks = list(dict.fromkeys([*sorted({m.hook_name for m in members}), *request.extra_hooks]))
        for start in range(0, len(request.rows_NL), request.batch_rows):
            if not self.report.alive(members):
                return
            ids = request.rows_NL[start : start + request.batch_rows]
            valid = self.lm.is_read(ids)
            if not valid.numpy().any():
                self._count(0, ids.numel())
                continue
            batch = self._rows(request, range(start, start + len(ids)), ids, valid, hooks)
            with self.report.timed("consume"):
                consumer.on_activations(batch)
            self.encoder.encode(batch, members, consumer.on_codes, on_drop=consumer.drop)
            with self.report.timed("consume"):
                consumer.on_batch_end(batch)
        self.encoder.read_checks()

    def _rows(
        self, request: TokenRows, rows: range, ids_BL: Tensor, valid_BL: Tensor, hooks: Sequence[str]
    ) -> ActivationBatch:
        """A batch of packed rows: run, unless another request has read all of them."""
        kept = self.shared.take(request, ids_BL, hooks)
        if kept is not None:
            device = self.lm.device
            values = {hook: x_BLD.to(device) for hook, x_BLD in kept.items()}
            return ActivationBatch.on(device, rows, ids_BL, valid_BL, values)
        every = torch.ones_like(valid_BL)  # later layers read them all
        batch = self._capture(
            rows, ids_BL, valid_BL, hooks, n_tokens=ids_BL.numel(), max_texts=request.max_rows, counts_BL=every
        )
        self.shared.keep(request, ids_BL, batch.x_BLD)
        return batch

    def _wanted_by(self, requests: Sequence[Request]) -> list[Member]:
        """The SAEs that any of the requests wants, without those that have failed before or have no codes."""
        wanted = [m for m in self.members if any(r.sae_keys is None or m.key in r.sae_keys for r in requests)]
        return self.report.alive([m for m in wanted if not weights_only(m.sae)])

    def _text_batches(
        self, texts: TokenTexts, hooks: Sequence[str], limit_of: Sequence[int | None]
    ) -> Iterator[ActivationBatch]:
        """Whole texts; those without any token that SAEs read are left out."""
        empty_T = texts.n_besides(self.lm.special_token_ids, self.lm.choice) == 0
        if bool(empty_T.any()):
            if bool(empty_T.all()):
                self._refuse_no_tokens()
            n_empty = int(empty_T.sum())
            logger.warning("%d texts have no token besides special ones; their pooled vectors are zero", n_empty)
            self._count(n_empty, int(texts.lengths[empty_T].sum()))
        for rows, limit in self._buckets(texts, (~empty_T).nonzero()[0].tolist(), limit_of):
            ids, real = texts.padded(rows, self._pad_id)
            valid = real & self.lm.is_read(ids)
            yield self._capture(rows, ids, valid, hooks, n_tokens=int(real.sum()), max_texts=limit)

    def _last_token_batches(
        self, pool: TextPool, rows: Sequence[int], limit_of: Sequence[int | None]
    ) -> Iterator[ActivationBatch]:
        """The last tokens of some texts of a pool, each as `last_tokens` gives it; texts without any are left out."""
        texts = pool.texts
        for of_batch, limit in self._buckets(texts, [row for row in rows if texts.lengths[row]], limit_of):
            ids, real = texts.padded(of_batch, self._pad_id)
            last_B = real.sum(dim=1) - 1
            n_tokens, index_B = int(real.sum()), torch.arange(len(of_batch))
            if pool.reads_rows:
                valid = torch.zeros_like(real)
                valid[index_B, last_B] = True
                yield self._capture(of_batch, ids, valid, pool.hooks, n_tokens=n_tokens, max_texts=limit)
                continue
            with self.report.timed("lm_pass"):
                values = self._activations(ids, pool.hooks, only_B=last_B, max_texts=limit)
            check_finite(self.lm.name, self.lm.dtype, values)
            self._count(len(of_batch), n_tokens)
            end_B1 = ids[index_B, last_B][:, None].to(self.lm.device)
            every_B = index_B.to(end_B1.device)
            yield ActivationBatch(tuple(of_batch), end_B1, torch.ones_like(end_B1, dtype=torch.bool), values, every_B)

    def _refuse_no_tokens(self) -> None:
        """What a run asks for may leave nothing to read; texts that are empty by themselves are no fault of it."""
        choice = self.lm.choice
        if choice != ALL_TOKENS:
            left_out = f" and without {len(choice.excluded)} token ids" if choice.excluded else ""
            raise UsageError(
                f"the texts have no token at positions {choice.slice_text}{left_out}, so SAEs would read nothing. "
                "Next: change --seqpos-slice or --exclude-tokens, or take longer texts."
            )

    @property
    def _pad_id(self) -> int:
        return self.lm.tokenizer.pad_token_id or 0

    def _buckets(
        self, texts: TokenTexts, rows: Sequence[int], limit_of: Sequence[int | None]
    ) -> Iterator[tuple[list[int], int | None]]:
        """Rows that are read at once, and the number of texts that was asked for; those of one number together.

        Args:
            rows: the texts that have to run.
            limit_of: how many texts at once are asked for, by row; None where nobody asks.
        """
        by_limit: dict[int | None, list[int]] = {}
        for row in rows:
            by_limit.setdefault(limit_of[row], []).append(row)
        for limit, of_limit in by_limit.items():
            lengths = texts.lengths[of_limit].tolist()
            of_run = limit is None or self.options.max_tokens is not None
            max_tokens = self.max_tokens if limit is None or of_run else limit * max(lengths)
            max_texts = limit or self.options.max_texts
            for bucket in bucket_by_length(lengths, max_tokens=max_tokens, max_texts=max_texts):
                yield [of_limit[i] for i in bucket], limit

    def _rows_at_once(self, length: int, asked: int | None) -> int:
        """Rows of a length that the model reads at once: as many as an eval asks for, unless the run has a limit."""
        by_tokens = max(1, self.max_tokens // max(1, length))
        if asked is None:
            return by_tokens
        return asked if self.options.max_tokens is None else min(asked, by_tokens)

    def _capture(
        self,
        rows: Sequence[int],
        ids_BL: Tensor,
        valid_BL: Tensor,
        hooks: Sequence[str],
        *,
        n_tokens: int,
        max_texts: int | None,
        counts_BL: Tensor | None = None,
    ) -> ActivationBatch:
        """Run a batch; it has to give finite numbers at the tokens of `counts_BL` (by default the valid ones)."""
        with self.report.timed("lm_pass"):
            values = self._activations(ids_BL, hooks, max_texts=max_texts)
        check_finite(self.lm.name, self.lm.dtype, values, valid_BL if counts_BL is None else counts_BL)
        self._count(len(rows), n_tokens)
        device = self.lm.device
        return ActivationBatch.on(device, rows, ids_BL, valid_BL, values)

    def _count(self, n_texts: int, n_tokens: int) -> None:
        """`n_tokens` are those of the texts; padding does not count."""
        self.report.n_texts += n_texts
        self.report.n_tokens += n_tokens
        if self.options.on_progress is not None:
            self.options.on_progress(n_tokens)

    def _activations(
        self, ids_BL: Tensor, hooks: Sequence[str], *, max_texts: int | None, only_B: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Values at the hooks: (B, L, D), or (B, 1, D) at the one position of each row that `only_B` names."""
        store = self.options.store
        if store is not None and (stored := store.load(self.lm, hooks, ids_BL, only_B=only_B)) is not None:
            return stored
        rows = self._rows_at_once(ids_BL.shape[1], max_texts)
        self.largest = max(self.largest, min(rows, len(ids_BL)))
        parts = []
        for start in range(0, len(ids_BL), rows):
            part = capture_with_halving(self.lm, ids_BL[start : start + rows], hooks)
            if only_B is not None:
                position = only_B[start : start + rows]
                part = {hook: x_BLD[torch.arange(len(x_BLD)), position][:, None] for hook, x_BLD in part.items()}
            parts.append(part)
        values = parts[0] if len(parts) == 1 else {hook: torch.cat([part[hook] for part in parts]) for hook in hooks}
        if store is not None:
            store.save(self.lm, ids_BL, values, only_B=only_B)
        return values
