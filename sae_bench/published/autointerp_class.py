"""`AutoInterp`: one SAE's latents explained and scored on tokens that a script holds, under the published names."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from sae_bench.errors import UsageError
from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.evaluate import AutoInterpJob
from sae_bench.evals.autointerp.replies import read_explanation, read_numbers
from sae_bench.evals.autointerp.spec import SPEC
from sae_bench.judges import CachedJudge
from sae_bench.published import entry_points
from sae_bench.published.models import GivenModel
from sae_bench.seeding import named_generator

Messages = list[dict[str, str]]
"""A conversation: `role` and `content` of each turn."""

ResultT = TypeVar("ResultT")


def run_to_its_end(coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
    """The result of a coroutine, also where an event loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def display_messages(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as text."""
    return "\n\n".join(f"[{message['role']}] {message['content']}" for message in messages)


def str_bool(b: bool) -> str:
    """`Y` or nothing."""
    return "Y" if b else ""


def escape_slash(s: str) -> str:
    """A model's name as a file's."""
    return s.replace("/", "_")


class AutoInterp:
    """The eval on given tokens; which latents are live is counted on them unless `sparsity` is given.

    Args:
        cfg: of the eval; `override_latents` names latents.
        model: a `LanguageModel`, or whatever becomes one.
        tokenized_dataset: rows of `llm_context_size` tokens.
        sparsity: share of tokens on which each latent is active, (F,); live latents are drawn by it.
        api_key: of the judge.
        judge: one in place of that which the configuration describes.
    Raises:
        UsageError: rows of another length.
    """

    def __init__(
        self, cfg: AutoInterpEvalConfig, model: GivenModel, sae: Any, tokenized_dataset: Int[Tensor, "R L"],
        sparsity: Tensor | None, device: str, api_key: str | None, judge: CachedJudge | None = None,
    ) -> None:  # fmt: skip
        if tokenized_dataset.shape[1] != cfg.llm_context_size:
            raise UsageError(
                f"rows have {tokenized_dataset.shape[1]} tokens, llm_context_size is {cfg.llm_context_size}."
            )
        self.cfg, self.model, self.sae, self.tokenized_dataset = cfg, model, sae, tokenized_dataset
        self.device, self.api_key, self.judge = device, api_key, judge
        self.latents = cfg.latents
        if self.latents is None and sparsity is not None:
            live = (sparsity * cfg.total_tokens > cfg.dead_latent_threshold).nonzero()[:, 0]
            order = torch.randperm(len(live), generator=named_generator("autointerp", "live", cfg.random_seed))
            self.latents = live.cpu()[order[: cfg.n_latents]].tolist()

    @property
    def n_latents(self) -> int | None:
        """How many latents are asked about."""
        return self.cfg.n_latents if self.latents is None else len(self.latents)

    async def run(self, explanations_override: Mapping[int, str] | None = None) -> dict[int, dict[str, Any]]:
        """Latent -> explanation, predictions, correct numbers, score and log.

        Raises:
            UsageError: explanations are given; the judge writes them.
        """
        if explanations_override:
            raise UsageError("explanations are written by the judge; none can be given.")
        return await asyncio.to_thread(self._records)

    def _records(self) -> dict[int, dict[str, Any]]:
        spec = replace(SPEC, start=partial(AutoInterpJob, rows_RL=self.tokenized_dataset, judge=self.judge))
        config = self.cfg if self.latents is None else replace(self.cfg, override_latents=self.latents)
        scores = entry_points.score_single_sae(
            spec, config, self.sae, self.model, device=self.device, judge_key=self.api_key
        )
        return {int(latent): record for latent, record in scores.unstructured.items()}

    def parse_explanation(self, explanation: str) -> str:
        """What a reply says behind "activates on"; empty if nothing."""
        return read_explanation(explanation) or ""

    def parse_predictions(self, predictions: str) -> list[int] | None:
        """Numbers of examples in a reply; None if it is no list of them."""
        return read_numbers(predictions, self.cfg.n_ex_for_scoring)
