"""Examples of a latent: windows of text with the activation at every token, for explaining and for telling apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.sampling import WindowRules, drawn_places, random_windows, top_places
from sae_bench.seeding import named_generator

Kind = Literal["top", "drawn", "random"]

Case = tuple[int, int]
"""(seed, latent)"""

NO_SPREAD = "no activation below the top examples"


@dataclass(frozen=True)
class Example:
    """A window around one token.

    Attributes:
        position: row * L + column of that token.
        kind: a top example, one drawn by size, or a window from anywhere.
        token_ids, values: of all tokens of the window.
        threshold: a token is active above this value.
    """

    position: int
    kind: Kind
    token_ids: tuple[int, ...]
    values: tuple[float, ...]
    threshold: float

    @property
    def fires(self) -> bool:
        """Whether the latent is active on any token of it."""
        return max(self.values) > self.threshold

    @property
    def counts_as_active(self) -> bool:
        """What a prediction is compared with: as published, a window from anywhere counts as inactive unseen."""
        return self.kind != "random" and self.fires

    def overlaps(self, other: Example) -> bool:
        """Whether the two windows share tokens of the corpus."""
        return abs(self.position - other.position) < len(self.token_ids)

    @property
    def is_inactive_window(self) -> bool:
        """Whether it can stand for windows on which the latent is not active: from anywhere, and seen to be so."""
        return self.kind == "random" and not self.fires


@dataclass(frozen=True)
class LatentExamples:
    """The examples of one latent and seed.

    Attributes:
        generation: for the explanation, highest activation first.
        scoring: to be told apart, in random order.
    """

    latent: int
    generation: tuple[Example, ...]
    scoring: tuple[Example, ...]


class Corpus:
    """The rows that were read, and how their tokens look in a prompt."""

    def __init__(self, rows_RL: Int[Tensor, "R L"], tokenizer: Any) -> None:
        self.rows_RL = rows_RL.cpu()
        self._flat_N = self.rows_RL.flatten()
        self._tokenizer = tokenizer
        self._strings: dict[int, str] = {}
        self._anchor: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"][:1]
        self._anchor_text = self._decode(self._anchor)

    @property
    def n_rows(self) -> int:
        return len(self.rows_RL)

    def window(self, position: int, buffer: int) -> tuple[int, ...]:
        """Token ids around a position."""
        return tuple(self._flat_N[position - buffer : position + buffer + 1].tolist())

    def text(self, example: Example, *, mark: bool) -> str:
        """The text of an example in one line, active tokens in << >> if asked for.

        Line breaks become arrows, and characters that are split over several tokens are left out.
        """
        parts = [
            f"<<{string}>>" if mark and value > example.threshold else string
            for string, value in zip(map(self.string, example.token_ids), example.values, strict=True)
        ]
        return "".join(parts).replace("\ufffd", "").replace("\n", "↵")

    def string(self, token_id: int) -> str:
        """One token as it stands within a text, with its leading space where it has one."""
        if token_id not in self._strings:
            self._strings[token_id] = self._decode([*self._anchor, token_id])[len(self._anchor_text) :]
        return self._strings[token_id]

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def make_examples(
    latent: int,
    activations: tuple[Int[Tensor, " E"], Float[Tensor, " E"]],
    corpus: Corpus,
    config: AutoInterpEvalConfig,
    *,
    seed: int,
) -> LatentExamples | str:
    """The examples of one latent, or why it cannot have any.

    Args:
        activations: positions, ascending, and values there; whole rows at least where examples come from.
    """
    position_E, value_E = activations
    rules = WindowRules.of(config)
    top = top_places(position_E, value_E, rules)
    if len(top) < rules.n_top:
        return f"fewer than {rules.n_top} activations that are no neighbours"
    below = float(value_E[top[-1]])
    drawn = drawn_places(latent, position_E, value_E, rules, below=below, seed=seed)
    if not drawn:
        return NO_SPREAD
    random = random_windows(seed, latent, corpus.n_rows, rules)
    window = _Windows(position_E, value_E, corpus, rules.buffer)
    tops = [window(int(position_E[number]), "top") for number in top]
    highest = max(max(example.values) for example in tops)
    threshold = config.act_threshold_frac * highest
    draws = [window(int(position_E[number]), "drawn") for number in drawn]
    windows = [window(position, "random") for position in random]
    groups = [[replace(example, threshold=threshold) for example in group] for group in (tops, draws, windows)]
    return _split(latent, groups, config, seed=seed)


def _split(
    latent: int, groups: Sequence[Sequence[Example]], config: AutoInterpEvalConfig, *, seed: int
) -> LatentExamples:
    """Deal the examples out; where too few could be drawn, scoring goes first and random windows stand in."""
    generator = named_generator("autointerp", "split", seed, latent)
    tops, draws, windows = groups
    tops, draws = _shuffled(tops, generator), _shuffled(draws, generator)
    n_top, n_drawn = config.n_top_ex_for_scoring, config.n_iw_sampled_ex_for_scoring
    activating = [*tops[:n_top], *draws[:n_drawn]]
    scoring = [*activating, *windows[: config.n_ex_for_scoring - len(activating)]]
    generation = sorted([*tops[n_top:], *draws[n_drawn:]], key=lambda example: max(example.values), reverse=True)
    return LatentExamples(latent, tuple(generation), tuple(_shuffled(scoring, generator)))


class _Windows:
    """Cuts windows out of the activations of one latent."""

    def __init__(
        self, position_E: Int[Tensor, " E"], value_E: Float[Tensor, " E"], corpus: Corpus, buffer: int
    ) -> None:
        self._position_E = position_E
        self._value_E = value_E
        self._corpus = corpus
        self._buffer = buffer

    def __call__(self, position: int, kind: Kind) -> Example:
        ends = torch.tensor([position - self._buffer, position + self._buffer + 1], dtype=self._position_E.dtype)
        first, last = torch.searchsorted(self._position_E, ends).tolist()
        values = [0.0] * (2 * self._buffer + 1)
        positions, activations = self._position_E[first:last].tolist(), self._value_E[first:last].tolist()
        for active, value in zip(positions, activations, strict=True):
            values[active - position + self._buffer] = value
        return Example(position, kind, self._corpus.window(position, self._buffer), tuple(values), 0.0)


def _shuffled(examples: Sequence[Example], generator: torch.Generator) -> list[Example]:
    return [examples[number] for number in torch.randperm(len(examples), generator=generator).tolist()]
