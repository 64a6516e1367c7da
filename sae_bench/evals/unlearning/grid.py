"""Every question under every clamp: layers up to the hook run once per question, only later ones once per clamp.

What a clamp does not touch is not run again: where none of its latents is active, answers stay as they are, and clamps
of the same latents to the same value are one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.activations.device_limits import tokens_at_once
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets.multiple_choice import N_CHOICES
from sae_bench.evals.unlearning.clamping import Clamp, ClampedTokens, encode_for_clamping
from sae_bench.evals.unlearning.formats import AnswerReader
from sae_bench.evals.unlearning.prompts import Ask
from sae_bench.evals.unlearning.trees import ReadStates, TreeBatch, read_states, tree_batches
from sae_bench.language_models import LanguageModel, Resume
from sae_bench.language_models.branches import STREAMS_BETWEEN_LAYERS, stream_before
from sae_bench.language_models.hooks import EMBED, HookPoint, parse_hook_name
from sae_bench.language_models.numbers import check_finite

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Captured:
    """A batch with what the model made of it up to the hook.

    Attributes:
        value_BLD: value at the hook where it is changed.
        read_BLD: value at the hook that SAEs read; the same but for transcoders.
        start_BLD: residual stream that the passes start from, where it is not the value itself.
    """

    batch: TreeBatch
    value_BLD: Float[Tensor, "B L _"]
    read_BLD: Float[Tensor, "B L _"]
    start_BLD: Float[Tensor, "B L D"] | None


@torch.no_grad()
def answer_plainly(
    lm: LanguageModel, reader: AnswerReader, asks: Sequence[Ask], *, max_texts: int | None = None
) -> Bool[Tensor, " Q"]:
    """Which asks the untouched model answers right."""
    rows = reader.rows(asks)
    states = [
        read_states(batch.trees, lm.final_hidden(batch.ids_BL, layout=batch.layout))
        for batch in tree_batches(lm, rows, rows_per_ask=reader.rows_per_ask, max_trees=max_texts)
    ]
    return _correct(reader, _in_order(reader, states), asks)


class QuestionStates:
    """The asks of all data sets, run up to one hook and kept on the CPU for every SAE there.

    Args:
        lm: the model.
        hook: where values are changed.
        reader: how answers are read.
        asks: what is asked.
        max_texts: at most so many texts at once.
        reads: the hook that the SAEs read; None where it is the same.
    """

    @torch.no_grad()
    def __init__(
        self,
        lm: LanguageModel,
        hook: str,
        reader: AnswerReader,
        asks: Sequence[Ask],
        *,
        max_texts: int | None = None,
        reads: str | None = None,
    ) -> None:
        self.lm = lm
        self.hook = parse_hook_name(hook)
        self.reads = reads or hook
        self.reader = reader
        self.asks = list(asks)
        self.max_texts = max_texts
        batches = tree_batches(lm, reader.rows(asks), rows_per_ask=reader.rows_per_ask, max_trees=max_texts)
        self.captured = [self._capture(batch) for batch in batches]
        self.scores_RW = _in_order(reader, [self._untouched(captured) for captured in self.captured])

    @property
    def correct_Q(self) -> Bool[Tensor, " Q"]:
        """Which asks the untouched model answers right."""
        return _correct(self.reader, self.scores_RW, self.asks)

    @torch.no_grad()
    def answer(self, member: Member, clamps: Sequence[Clamp]) -> Bool[Tensor, "G Q"]:
        """Which asks are answered right under each clamp of one SAE."""
        distinct = list(dict.fromkeys(clamp for clamp in clamps if clamp.latents))
        scores_GRW = self.scores_RW.repeat(len(distinct), 1, 1)
        latents = sorted({latent for clamp in distinct for latent in clamp.latents})
        for captured in self.captured if distinct else ():
            text_BL = captured.batch.text_BL
            x_ND = captured.read_BLD[text_BL].to(self.lm.device)
            same = self.reads == self.hook.name
            written_NO = x_ND if same else captured.value_BLD[text_BL].to(self.lm.device)
            tokens = encode_for_clamping(member.sae, x_ND, latents, written_NO)
            self._run_clamps(captured, tokens, distinct, scores_GRW)
        correct_of = {
            clamp: _correct(self.reader, scores_RW, self.asks)
            for clamp, scores_RW in zip(distinct, scores_GRW, strict=True)
        }
        return torch.stack([correct_of.get(clamp, self.correct_Q) for clamp in clamps])

    def _run_clamps(
        self, captured: Captured, tokens: ClampedTokens, clamps: Sequence[Clamp], scores_GRW: Tensor
    ) -> None:
        """Write the scores of one batch under every clamp into `scores_GRW`; clamps go through the layers together."""
        value_BLD = captured.value_BLD.to(self.lm.device)
        text_BL = captured.batch.text_BL.to(self.lm.device)
        tree_N = text_BL.nonzero()[:, 0]
        at_once = self._trees_at_once(captured.batch)
        clamp_P: list[int] = []
        trees: list[Tensor] = []
        values: list[Tensor] = []
        for g, clamp in enumerate(clamps):
            touched = tree_N[tokens.active(clamp)].unique()
            if len(touched):
                changed_BLD = value_BLD.clone()
                changed_BLD[text_BL] = tokens.clamped(clamp).to(value_BLD.dtype)
                clamp_P += [g] * len(touched)
                trees.append(touched)
                values.append(changed_BLD[touched])
            if clamp_P and (g == len(clamps) - 1 or len(clamp_P) >= at_once):
                self._run_trees(captured, clamp_P, torch.cat(trees).cpu(), torch.cat(values), scores_GRW)
                clamp_P, trees, values = [], [], []

    def _run_trees(
        self, captured: Captured, clamp_P: Sequence[int], trees_P: Tensor, value_PLD: Tensor, scores_GRW: Tensor
    ) -> None:
        """Run P pairs of a clamp and a tree, as many at once as there is room for."""
        for part in torch.arange(len(trees_P)).split(self._trees_at_once(captured.batch)):
            trees = trees_P[part]
            states = self._run(captured, trees, value_PLD[part.to(value_PLD.device)])
            n_rows = torch.tensor([len(captured.batch.trees[tree].rows) for tree in trees.tolist()])
            clamp_R = torch.tensor([clamp_P[pair] for pair in part.tolist()]).repeat_interleave(n_rows)
            scores_GRW[clamp_R, states.row_numbers] = self.reader.scores(states)

    def _run(self, captured: Captured, trees_P: Int[Tensor, " P"], value_PLD: Tensor) -> ReadStates:
        """Run some trees with another value at the hook, from the hook's layer on, and return the states to read."""
        batch = captured.batch
        try:
            hidden_PLD = self.lm.final_hidden(
                batch.ids_BL[trees_P],
                layout=batch.layout_of(trees_P),
                **self._intervention(captured.start_BLD, trees_P, value_PLD),
            )
            return read_states([batch.trees[tree] for tree in trees_P.tolist()], hidden_PLD)
        except torch.OutOfMemoryError:
            if len(trees_P) == 1:
                raise
        logger.warning("out of memory on %d rows; going on with halves", len(trees_P))
        torch.cuda.empty_cache()
        half = len(trees_P) // 2
        return _joined(
            self._run(captured, trees_P[:half], value_PLD[:half]), self._run(captured, trees_P[half:], value_PLD[half:])
        )

    def _intervention(self, start_BLD: Tensor | None, trees_P: Tensor, value_PLD: Tensor) -> dict:
        """How the value gets into the model: as the stream that a layer starts from, or in the place of a hook's."""
        layer = self.hook.first_downstream_layer
        if self.hook.kind in STREAMS_BETWEEN_LAYERS:
            return {"resume": Resume(layer, value_PLD)}
        start = None if start_BLD is None else Resume(layer, start_BLD[trees_P].to(self.lm.device))
        return {"resume": start, "replace": {self.hook.name: lambda _old: value_PLD}}

    def _capture(self, batch: TreeBatch) -> Captured:
        before = _stream_to_start_from(self.hook)
        names = [self.hook.name, self.reads, *([] if before is None else [before])]
        values = {n: v.cpu() for n, v in self.lm.capture(batch.ids_BL, names, layout=batch.layout).items()}
        check_finite(self.lm.name, self.lm.dtype, values, batch.text_BL)
        return Captured(batch, values[self.hook.name], values[self.reads], None if before is None else values[before])

    def _untouched(self, captured: Captured) -> ReadStates:
        """What is read without a clamp, through the same layers as with one."""
        every = torch.arange(len(captured.batch.trees))
        return self._run(captured, every, captured.value_BLD.to(self.lm.device))

    def _trees_at_once(self, batch: TreeBatch) -> int:
        n_trees = max(1, tokens_at_once(self.lm.device) // batch.ids_BL.shape[1])
        return n_trees if self.max_texts is None else min(n_trees, self.max_texts)


def _stream_to_start_from(hook: HookPoint) -> str | None:
    """The residual stream that a pass with another value at `hook` starts from, None if that is the value itself."""
    return None if hook.kind in (*STREAMS_BETWEEN_LAYERS, EMBED) else stream_before(hook)


def _in_order(reader: AnswerReader, states: Sequence[ReadStates]) -> Float[Tensor, "R W"]:
    """Put the scores of all rows back into the order of the rows."""
    if not states:
        return torch.zeros(0, N_CHOICES // reader.rows_per_ask)
    order = torch.cat([state.row_numbers for state in states]).argsort()
    return torch.cat([reader.scores(state) for state in states])[order]


def _correct(reader: AnswerReader, scores_RW: Tensor, asks: Sequence[Ask]) -> Bool[Tensor, " Q"]:
    return reader.correct(scores_RW.reshape(len(asks), N_CHOICES), asks)


def _joined(a: ReadStates, b: ReadStates) -> ReadStates:
    return ReadStates(
        torch.cat([a.hidden_UD, b.hidden_UD]),
        torch.cat([a.read_N, b.read_N + len(a.hidden_UD)]),
        (*a.rows, *b.rows),
        torch.cat([a.row_numbers, b.row_numbers]),
    )
