"""Evals that read a vector per text: texts are placed once, what no SAE changes is prepared once per hook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.activations.pooled import CodeMatrix
from sae_bench.activations.requests import PooledTexts, PooledValues, Request, Served, Tokens, only
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets import LabelledTexts
from sae_bench.errors import UsageError
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.families.labelled import PooledDataset
from sae_bench.language_models import TokenTexts

SILENT = (
    "no latent of this SAE is active on any of the texts: its numbers are those of guessing, and no sign of quality"
)
SEEN = "test_texts_seen_in_training"
SEEN_SHARE = 0.01
"""Share of test texts that equal a training text above which results carry a warning."""

ConfigT = TypeVar("ConfigT", bound=Any)
PreparedT = TypeVar("PreparedT")


class TextsJob(ABC, Generic[ConfigT, PreparedT]):
    """A job whose problems are made of texts.

    A subclass places its texts when it starts, says what it prepares at a hook, and scores the codes of one SAE.

    Attributes:
        tokens: what the vector of a text is made of.
        at_output: whether the activations are those of the hook that an SAE writes, and not of the one that it reads:
            the two differ for transcoders.
        token_ids: all texts of the request, in the order of the rows that `place` gave them.
    """

    tokens: Tokens = "all"
    at_output: bool = False

    def __init__(self, context: EvalContext, config: ConfigT) -> None:
        if not context.seeds or len(set(context.seeds)) < len(context.seeds):
            raise UsageError(f"seeds must be one or more and differ, got {list(context.seeds)}.")
        self.lm = context.lm
        self.config = config
        self.seeds = context.seeds
        self.datasets: dict[str, dict[str, str]] = {}
        self._n_seen: Counter[str] = Counter()
        self._n_test: Counter[str] = Counter()
        self.token_ids = TokenTexts()
        self._prepared: dict[str, PreparedT] = {}

    @abstractmethod
    def prepare(self, activations_TD: Float[Tensor, "T D"]) -> PreparedT:
        """What all SAEs that write at a hook (or read it) share: probes and scores of its activations."""

    @abstractmethod
    def score_codes(self, member: Member, codes: CodeMatrix, prepared: PreparedT) -> Scores:
        """The result of one SAE.

        Args:
            member: the SAE.
            codes: its pooled codes, (T, F), rows as `place` gave them.
            prepared: what `prepare` made at its hook.
        """

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        keys = frozenset(member.key for member in members)
        written = {member.hook_name_out for member in members} if self.at_output else set[str]()
        extra = tuple(sorted(written - {member.hook_name for member in members}))
        return [PooledTexts(self.token_ids, keys, self.tokens, self.config.llm_batch_size, extra)]

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        pooled = only(served, PooledValues)
        prepared = self.prepared_at(member.hook_name_out if self.at_output else member.hook_name, pooled)
        codes = pooled.codes[member.key]
        scores = self.score_codes(member, codes, prepared)
        if codes.is_silent():
            scores.warnings.append(SILENT)
        scores.warnings += self._seen_warnings()
        return scores

    def prepared_at(self, hook: str, pooled: PooledValues) -> PreparedT:
        """What all SAEs at a hook share, made once; the activations are let go as soon as they have been used."""
        if hook not in self._prepared:
            self._prepared[hook] = self.prepare(pooled.activations[hook])
        pooled.activations.pop(hook, None)
        return self._prepared[hook]

    def place(self, texts: Sequence[str]) -> Int[Tensor, " N"]:
        """Tokenise texts; returns their rows among all texts of the request."""
        first = len(self.token_ids)
        self.token_ids.extend(self.lm.tokenize(texts, max_length=self.config.context_length))
        return torch.arange(first, len(self.token_ids))

    def place_labelled(self, labelled: LabelledTexts) -> PooledDataset:
        """Place a data set, training texts class by class, then test texts."""
        self.datasets[labelled.name] = labelled.provenance
        train, test = (
            {name: self.place(texts[name]) for name in labelled.classes} for texts in (labelled.train, labelled.test)
        )
        self.count_seen(labelled.name, train.values(), test.values())
        return PooledDataset(labelled.name, labelled.classes, train, test)

    def count_seen(self, dataset: str, train: Iterable[Int[Tensor, " N"]], test: Iterable[Int[Tensor, " M"]]) -> None:
        """Count test texts that are, tokenised and cut, the same as a training text; they stay in use.

        Texts that differ may be one and the same once they are cut to the context.

        Args:
            dataset: whose provenance gets the count; counts of several calls add up.
            train, test: rows of texts, as `place` gave them.
        """
        seen_in_training = set(self._digests(train))
        of_test = self._digests(test)
        self._n_seen[dataset] += sum(digest in seen_in_training for digest in of_test)
        self._n_test[dataset] += len(of_test)
        counted = f"{self._n_seen[dataset]} of {self._n_test[dataset]}"
        self.datasets[dataset] = {**self.datasets.get(dataset, {}), SEEN: counted}

    def _digests(self, rows: Iterable[Int[Tensor, " N"]]) -> list[bytes]:
        return self.token_ids.select(row for rows_N in rows for row in rows_N.tolist()).digests()

    def _seen_warnings(self) -> list[str]:
        return [
            f"{n_seen} of {self._n_test[name]} test texts of {name} ({n_seen / self._n_test[name]:.1%}) equal a "
            f"training text once they are cut to {self.config.context_length} tokens; they are kept"
            for name, n_seen in self._n_seen.items()
            if n_seen > SEEN_SHARE * self._n_test[name]
        ]
