"""Known prompts up to a hook, read once per model: what every SAE there starts from.

Kept are the activation at the entity's last token, and of prompts that masks are trained on the residual stream from
the shared beginning on. Keys and values of the beginnings are kept for the layers after the hook.

Shapes: N prompts, B pairs, L tokens of a prompt's own, D d_model, W width of the hook, M tokens of all prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.evals.ravel.prompts import Prompt
from sae_bench.evals.ravel.reading import Tails, with_halving
from sae_bench.language_models import LanguageModel, Resume
from sae_bench.language_models.branches import STREAMS_BETWEEN_LAYERS, stream_before
from sae_bench.language_models.generation import generate
from sae_bench.language_models.hooks import EMBED, parse_hook_name
from sae_bench.language_models.numbers import check_finite
from sae_bench.language_models.text_cache import TextCache


@dataclass(frozen=True)
class _Streams:
    """Residual streams of some prompts, one after the other."""

    stream_MD: Float[Tensor, "M D"]
    first_of: dict[int, int]


class PromptStates:
    """Prompts at one hook.

    Args:
        hook: where values are replaced.
        reads: a hook before it whose values at the entities are wanted as well; None if there is no such hook.
        prompts: all that pairs refer to, by place.
        used: places of prompts that are a base or a source.
        trained: places of those that are a base in training.
        n_tokens: how many tokens will be generated at most.
    """

    def __init__(
        self,
        lm: LanguageModel,
        hook: str,
        prompts: Sequence[Prompt],
        *,
        used: Sequence[int],
        trained: Sequence[int],
        n_tokens: int,
        reads: str | None = None,
    ) -> None:
        self.lm = lm
        self.hook = parse_hook_name(hook)
        self.reads = reads or hook
        self.n_tokens = n_tokens
        self.row_of_prompt = {number: row for row, number in enumerate(sorted(used))}
        self.tails = Tails.of(lm, [prompts[number] for number in self.row_of_prompt], n_more=n_tokens)
        self.past = self.tails.read_beginnings(lm, range(len(self.tails.beginnings)))
        self.value_NW, self.read_ND, self._streams = self._read({self.row_of_prompt[number] for number in trained})

    def rows(self, numbers: Sequence[int]) -> Int[Tensor, " B"]:
        """Rows of `value_NW` that belong to prompts."""
        return torch.tensor([self.row_of_prompt[number] for number in numbers], dtype=torch.long)

    # ---- before the change

    @torch.no_grad()
    def _read(self, trained: set[int]) -> tuple[Float[Tensor, "N W"], Float[Tensor, "N D"], _Streams | None]:
        start = self._start_hook()
        values: dict[int, Tensor] = {}
        reads: dict[int, Tensor] = {}
        streams: list[Tensor] = []
        first_of: dict[int, int] = {}
        n_tokens = 0

        def run(rows: list[int]) -> list[tuple[Tensor, Tensor, Tensor]]:
            ids_BL, real_BL = self.tails.padded(rows, left=False)
            names = [self.hook.name, self.reads, *([] if start is None else [start])]
            captured = self.lm.capture(ids_BL, names, attention_mask_BL=real_BL.long(), cache=self._cache(rows))
            at = range(len(rows)), [self.tails.position(row) for row in rows]
            entity_BW, read_BD = captured[self.hook.name][at], captured[self.reads][at]
            stream_BLD = captured[start or self.hook.name]
            return [(entity_BW[b], read_BD[b], stream_BLD[b, : len(self.tails.ids(row))]) for b, row in enumerate(rows)]

        for batch in self.tails.batches(self.lm, n_more=0):
            for row, (value_W, read_D, stream_LD) in zip(batch, with_halving(run, batch), strict=True):
                values[row], reads[row] = value_W, read_D
                if row in trained:
                    first_of[row] = n_tokens
                    n_tokens += len(stream_LD)
                    streams.append(stream_LD.cpu())
        value_NW = torch.stack([values[row] for row in range(len(values))])
        read_ND = value_NW if self.reads == self.hook.name else torch.stack([reads[row] for row in range(len(reads))])
        check_finite(self.lm.name, self.lm.dtype, {self.hook.name: value_NW, self.reads: read_ND})
        return value_NW, read_ND, _Streams(torch.cat(streams), first_of) if streams else None

    def _start_hook(self) -> str | None:
        """The residual stream that a changed pass starts from, None if it is the value at the hook itself."""
        return None if self.hook.kind in (*STREAMS_BETWEEN_LAYERS, EMBED) else stream_before(self.hook)

    def _cache(self, rows: Sequence[int], *, first_layer: int = 0) -> TextCache | None:
        if self.past is None:
            return None
        numbers = torch.tensor([self.tails.beginning_N[row] for row in rows])
        return TextCache(self.past.select(numbers, first_layer=first_layer))

    # ---- with a change

    def changed_logits(self, rows: Sequence[int], value_BW: Float[Tensor, "B W"]) -> Float[Tensor, "B V"]:
        """Logits after the last token when `value_BW` stands at the entities; layers before the hook do not run.

        Gradients go to `value_BW` where they are enabled.
        """
        ids_BL, real_BL = self.tails.padded(rows, left=False)
        position_B = torch.tensor([self.tails.position(row) for row in rows])
        layer = self.hook.first_downstream_layer
        replace = {self.hook.name: lambda old: put_at(old, position_B, value_BW)}
        resume = None
        if self.hook.kind != EMBED:
            resume = Resume(layer, self._stream(rows, ids_BL.shape[1]))
        if self.hook.kind in STREAMS_BETWEEN_LAYERS and resume is not None:  # the stream is the value itself
            replace, resume = {}, Resume(layer, put_at(resume.hidden_BLD, position_B, value_BW))
        cache = self._cache(rows, first_layer=0 if self.hook.kind == EMBED else layer)
        mask_BL = None if cache is None else real_BL.long()  # padding on the right is never seen from its left
        hidden_BLD = self.lm.final_hidden(
            ids_BL, attention_mask_BL=mask_BL, replace=replace, resume=resume, cache=cache
        )
        return self.lm.unembed(hidden_BLD[range(len(rows)), (real_BL.sum(dim=1) - 1).tolist()])

    def _stream(self, rows: Sequence[int], length: int) -> Float[Tensor, "B L D"]:
        assert self._streams is not None
        first_B1 = torch.tensor([self._streams.first_of[row] for row in rows])[:, None]
        row_in_streams_BL = (first_B1 + torch.arange(length)).clamp(max=len(self._streams.stream_MD) - 1)
        return self._streams.stream_MD[row_in_streams_BL].to(self.lm.device)

    @torch.no_grad()
    def changed_completions(self, rows: Sequence[int], value_BW: Float[Tensor, "B W"]) -> list[list[int]]:
        """Greedy completions when `value_BW` stands at the entities while the prompts are read."""
        written: dict[int, list[int]] = {}
        tasks = Tails(
            tuple(self.tails.prompts[row] for row in rows), tuple(range(len(rows))), self.tails.beginnings,
            tuple(self.tails.beginning_N[row] for row in rows),
        )  # fmt: skip

        def run(batch: list[int]) -> list[list[int]]:
            ids_BL, real_BL = tasks.padded(batch, left=True)
            # from the right: where a model reads whole texts again for every token, they grow on that side
            from_end_B = torch.tensor([len(tasks.ids(task)) - tasks.position(task) for task in batch])
            position_B = ids_BL.shape[1] - from_end_B
            new_BW = value_BW[torch.tensor(batch, device=value_BW.device)]
            past = None
            if self.past is not None:
                past = self.past.select(torch.tensor([tasks.beginning_N[task] for task in batch]))
            replace = {self.hook.name: lambda old: put_at(old, position_B, new_BW)}
            return generate(self.lm, ids_BL, real_BL=real_BL, n_tokens=self.n_tokens, past=past, replace=replace)

        for batch in tasks.batches(self.lm, range(len(rows)), n_more=self.n_tokens):
            written |= dict(zip(batch, with_halving(run, batch), strict=True))
        return [written[task] for task in range(len(rows))]


def put_at(
    old_BLW: Float[Tensor, "B L W"], position_B: Int[Tensor, " B"], new_BW: Float[Tensor, "B W"]
) -> Float[Tensor, "B L W"]:
    """The same with another value at one place of each row; differentiable in the new value."""
    at_BL = torch.arange(old_BLW.shape[1], device=old_BLW.device) == position_B.to(old_BLW.device)[:, None]
    return torch.where(at_BL[..., None], new_BW[:, None].to(old_BLW.dtype), old_BLW)
