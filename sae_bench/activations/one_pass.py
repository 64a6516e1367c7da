"""The one pass: every distinct text goes through the model once, every token through each SAE once.

Requests of all evals are merged. Pooled texts are bucketed by length and deduplicated over evals; packed rows keep
their batches. An SAE that fails is dropped with its exception, the others go on.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import torch
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch, bucket_by_length
from sae_bench.activations.requests import PooledTexts, PooledValues, Request, Served, TokenRows, Tokens
from sae_bench.activations.shared_rows import SharedRows, n_tokens_of
from sae_bench.activations.store import ActivationStore
from sae_bench.activations.text_pools import TextPool, last_tokens
from sae_bench.custom_saes.codes import joined
from sae_bench.custom_saes.interface import SAE, SparseCodes, encode_rows, encode_tokens, reads_rows, weights_only
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import SAEMismatchError, UsageError, no_exit
from sae_bench.language_models import LanguageModel, TokenTexts
from sae_bench.language_models.layout import TokenLayout
from sae_bench.language_models.numbers import check_finite, dtype_name
from sae_bench.language_models.token_choice import ALL_TOKENS

logger = logging.getLogger(__name__)


TOKENS_ON_CPU = 1024
"""What a layer makes of so many tokens stays in the caches (measured: 15 to 35 % faster than 4096 tokens)."""
TOKENS_ON_ACCELERATOR = 16_384
BATCHES_PER_READ = {"cpu": 1}
"""After so many batches it is read, by type of device, whether all codes were finite; 20 elsewhere: a read waits."""


@dataclass
class PassOptions:
    """How the pass runs; none of it changes what is computed beyond rounding.

    `max_tokens` is how many padded tokens the model reads at once; None chooses by device.
    """

    max_texts: int = 256
    max_tokens: int | None = None
    store: ActivationStore | None = None
    on_progress: Callable[[int], None] | None = None


@dataclass
class PassReport:
    """What came of a pass: what it made of each request, failed SAEs, tokens read, seconds spent.

    Attributes:
        served: one entry per request, in their order.
        failed: key of an SAE that raised -> its exception.
        n_texts, n_tokens: what the model read; padding does not count.
        texts_at_once: one entry per request: how many texts or rows the model read at once, at most.
        seconds: spent in the model, the SAEs and the consumers.
    """

    served: Sequence[Served] = ()
    failed: dict[str, Exception] = field(default_factory=dict)
    n_texts: int = 0
    n_tokens: int = 0
    texts_at_once: Sequence[int] = ()
    seconds: dict[str, float] = field(default_factory=lambda: {"lm_pass": 0.0, "sae_encode": 0.0, "consume": 0.0})


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
    length_of: dict[bytes, int] = {}
    for texts in (TokenTexts.of(r.token_ids) for r in requests if isinstance(r, PooledTexts)):
        length_of |= zip(texts.digests(), texts.lengths.tolist(), strict=True)
    return sum(length_of.values()) + n_tokens_of([r for r in requests if isinstance(r, TokenRows)])


class _Pass:
    def __init__(self, lm: LanguageModel, members: list[Member], options: PassOptions, shared: SharedRows) -> None:
        self.lm = lm
        self.members = members
        self.options = options
        self.shared = shared
        default = TOKENS_ON_CPU if lm.device.type == "cpu" else TOKENS_ON_ACCELERATOR
        self.max_tokens = options.max_tokens or default
        self.report = PassReport()
        self.batches_per_read = BATCHES_PER_READ.get(lm.device.type, 20)
        self._unread: list[tuple[Tensor, Member, torch.dtype, Callable[[Member], object]]] = []
        self._batches_unread = 0
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
        self._read_checks()
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
        self._encode(batch, pool.members, pool.add_codes, on_drop=pool.drop)

    def feed(self, request: TokenRows) -> None:
        """Run packed rows in their own batches, as long as an SAE that wants them is left."""
        consumer = request.consumer
        if not bool(self.lm.is_read(request.rows_NL).any()):
            self._refuse_no_tokens()
        members = self._wanted_by([request])
        hooks = list(dict.fromkeys([*sorted({m.hook_name for m in members}), *request.extra_hooks]))
        for start in range(0, len(request.rows_NL), request.batch_rows):
            if not self._alive(members):
                return
            ids = request.rows_NL[start : start + request.batch_rows]
            valid = self.lm.is_read(ids)
            if not valid.numpy().any():
                self._count(0, ids.numel())
                continue
            batch = self._rows(request, range(start, start + len(ids)), ids, valid, hooks)
            with self._timed("consume"):
                consumer.on_activations(batch)
            self._encode(batch, members, consumer.on_codes, on_drop=consumer.drop)
            with self._timed("consume"):
                consumer.on_batch_end(batch)
        self._read_checks()

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
        return self._alive([m for m in wanted if not weights_only(m.sae)])

    def _alive(self, members: list[Member]) -> list[Member]:
        return [m for m in members if m.key not in self.report.failed]

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
            with self._timed("lm_pass"):
                values = self._activations(ids, pool.hooks, only_B=last_B, max_texts=limit)
            check_finite(self.lm.name, self.lm.dtype, values)
            self._count(len(of_batch), n_tokens)
            end_B1 = ids[index_B, last_B][:, None].to(self.lm.device)
            yield ActivationBatch(tuple(of_batch), end_B1, torch.ones_like(end_B1, dtype=torch.bool), values)

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
        with self._timed("lm_pass"):
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

    def _encode(
        self,
        batch: ActivationBatch,
        members: list[Member],
        consume: Callable[[ActivationBatch, Member, SparseCodes | Tensor], None],
        on_drop: Callable[[Member], object],
    ) -> None:
        """Encode the batch with every SAE and hand the codes on; an SAE that fails in either is left out."""
        alive = self._alive(members)
        tokens = {hook: batch.tokens(hook) for hook in {m.hook_name for m in alive}}
        for member in alive:
            try:
                with self._timed("sae_encode"), no_exit(member.key):
                    x_ND = tokens[member.hook_name]
                    if reads_rows(member.sae):
                        codes = encode_with_halving(member.sae, batch.x_BLD[member.hook_name], encode_rows)
                        assert isinstance(codes, Tensor)
                        codes = codes[batch.valid_BL]
                    else:
                        codes = encode_with_halving(member.sae, x_ND, encode_tokens)
                    self._check_codes(codes, len(x_ND), member, on_drop)
                with self._timed("consume"):
                    consume(batch, member, codes)
            except Exception as error:
                traceback.clear_frames(error.__traceback__)  # its lines stay, the tensors of its frames go
                self._leave_out(member, error, on_drop)
        self._batches_unread += 1
        if self._batches_unread >= self.batches_per_read:
            self._read_checks()

    def _leave_out(self, member: Member, error: Exception, on_drop: Callable[[Member], object]) -> None:
        logger.error("%s failed and is left out: %s", member.key, error)
        self.report.failed[member.key] = error
        on_drop(member)

    def _check_codes(
        self, codes: SparseCodes | Tensor, n_tokens: int, member: Member, on_drop: Callable[[Member], object]
    ) -> None:
        """Refuse codes of a wrong shape now, and those that are no finite numbers when the device is next read."""
        expected = (n_tokens, int(member.sae.cfg.d_sae))
        got = (len(codes.values_NK), codes.d_sae) if isinstance(codes, SparseCodes) else tuple(codes.shape)
        if got != expected:
            raise SAEMismatchError(f"'{member.key}' encodes to codes of shape {got}; it has to be {expected}.")
        values = codes.values_NK if isinstance(codes, SparseCodes) else codes
        is_finite = torch.isfinite(values.sum(dtype=torch.float32))  # one read of the codes, and a NaN stays one
        if self.batches_per_read > 1:
            self._unread.append((is_finite, member, values.dtype, on_drop))
        elif not bool(is_finite):
            raise _not_finite(member, values.dtype)

    def _read_checks(self) -> None:
        """Whether the codes of the batches since the last time were finite, in one read of the device."""
        unread, self._unread, self._batches_unread = self._unread, [], 0
        if not unread:
            return
        for good, (_, member, dtype, on_drop) in zip(torch.stack([u[0] for u in unread]).tolist(), unread, strict=True):
            if not good and member.key not in self.report.failed:
                self._leave_out(member, _not_finite(member, dtype), on_drop)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        start = perf_counter()
        try:
            yield
        finally:
            self.report.seconds[phase] += perf_counter() - start


def capture_with_halving(
    lm: LanguageModel, ids_BL: Tensor, hooks: Sequence[str], *, layout: TokenLayout | None = None
) -> dict[str, Tensor]:
    """Capture at `hooks`; when the device runs out of memory, run the two halves of the batch one after the other."""
    try:
        return lm.capture(ids_BL, hooks, layout=layout)
    except torch.OutOfMemoryError:
        if len(ids_BL) == 1:
            raise
    logger.warning("out of memory on a batch of %d texts; going on with halves of it", len(ids_BL))
    torch.cuda.empty_cache()
    parts = [
        capture_with_halving(lm, ids_BL[rows], hooks, layout=None if layout is None else layout.select(rows))
        for rows in torch.arange(len(ids_BL)).tensor_split(2)
    ]
    return {hook: torch.cat([part[hook] for part in parts]) for hook in hooks}


def encode_with_halving(
    sae: SAE, x: Tensor, encode: Callable[[SAE, Tensor], SparseCodes | Tensor] = encode_tokens
) -> SparseCodes | Tensor:
    """Encode tokens (N, D); when the device runs out of memory, the two halves of them one after the other.

    Args:
        encode: `encode_tokens`, or `encode_rows` for whole texts (B, L, D).
    """
    try:
        return encode(sae, x)
    except torch.OutOfMemoryError:
        if len(x) <= 1:
            raise
    logger.warning("out of memory on encoding %d tokens; going on with halves", x[..., 0].numel())
    torch.cuda.empty_cache()
    first, second = (encode_with_halving(sae, part, encode) for part in x.tensor_split(2))
    if isinstance(first, SparseCodes) and isinstance(second, SparseCodes):
        return joined([first, second])
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    return torch.cat([first, second])


def _not_finite(member: Member, dtype: torch.dtype) -> SAEMismatchError:
    return SAEMismatchError(
        f"'{member.key}' encodes to codes that are NaN or infinite, in {dtype_name(dtype)}. "
        "Next: look for broken weights in its file, or run it in a wider dtype."
    )
