"""Unlearning: sparsities from the shared pass, then known questions under every clamp.

Which questions are known, and what the model makes of them up to the hook, does not depend on the SAE: both are
found once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from sae_bench.activations.requests import Request, Served, TokenRows
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets.multiple_choice import Question, QuestionSet, load_questions
from sae_bench.errors import PrerequisiteError
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.unlearning import corpora, results
from sae_bench.evals.unlearning.clamping import Clamp
from sae_bench.evals.unlearning.control import Control, control_settings
from sae_bench.evals.unlearning.eval_config import UnlearningEvalConfig
from sae_bench.evals.unlearning.formats import make_reader
from sae_bench.evals.unlearning.grid import QuestionStates, answer_plainly
from sae_bench.evals.unlearning.known import KnownQuestions, find_known
from sae_bench.evals.unlearning.selection import Selection, Setting
from sae_bench.evals.unlearning.sparsity import ActiveCounter, select_latents

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnlearningData:
    """Given data in the place of what the configuration names.

    Attributes:
        forget_NL, retain_NL: packed rows.
        known: data set -> the questions to ask, known or not.
    """

    forget_NL: Tensor
    retain_NL: Tensor
    known: Sequence[KnownQuestions]


class UnlearningJob:
    """Unlearning on one model."""

    def __init__(self, context: EvalContext, config: UnlearningEvalConfig, data: UnlearningData | None = None) -> None:
        self.lm = context.lm
        self.config = config
        self.seeds = context.seeds
        self._has_controls = context.controls
        self.reader = make_reader(self.lm, config.answer_format, config.prompt_format)
        self._max_texts = None if config.llm_batch_size is None else 2 * config.llm_batch_size
        self._provenance: dict[str, dict[str, str]] = {}
        if data is None:
            sets = self._load_questions(context)
            forget_NL, retain_NL, provenance = pack_corpora(context, config)
            self._provenance |= provenance
            data = UnlearningData(forget_NL, retain_NL, [self._known(questions) for questions in sets])
            check_known(data.known, config, model=self.lm.name)
        self.known = list(data.known)
        self.forget_NL, self.retain_NL = data.forget_NL, data.retain_NL
        self._asks = [ask for of_set in self.known for ask in of_set.asks]
        self._states: dict[tuple[str, str], QuestionStates] = {}

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        return self._provenance

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        hooks = {(member.hook_name, member.hook_name_out) for member in members}
        self._states = {key: states for key, states in self._states.items() if key in hooks}
        return rows_to_read(self.config, self.forget_NL, self.retain_NL, members)

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        forget_F, retain_F = (counter.sparsity(member) for counter in served if isinstance(counter, ActiveCounter))
        settings = [
            Setting(threshold, n, multiplier, select_latents(forget_F, retain_F, retain_threshold=threshold, n=n))
            for threshold in self.config.retain_thresholds
            for n in self.config.n_features_list
            for multiplier in self.config.multipliers
        ]
        states = self.states_at(member)
        clamps = [Clamp(tuple(sorted(setting.latents)), float(setting.multiplier)) for setting in settings]
        correct_GQ = states.answer(member, clamps)
        selection = Selection(forget_F, retain_F, settings)
        control, control_GQ = self._control(member, states, selection, correct_GQ)
        return results.to_scores(
            selection,
            self.known,
            correct_GQ,
            states.correct_Q,
            config=self.config,
            seeds=self.seeds,
            control=control,
            control_GQ=control_GQ,
        )

    def _control(
        self, member: Member, states: QuestionStates, selection: Selection, correct_GQ: Tensor
    ) -> tuple[Control | None, Tensor | None]:
        """Random latents in the place of those that were clamped, and what is answered right under them."""
        if not self._has_controls:
            return None, None
        answers = results.answers_of(correct_GQ, self.known, self.config)
        control = control_settings(selection, answers, self.config.side_effect_threshold)
        clamps = [Clamp(tuple(sorted(setting.latents)), float(setting.multiplier)) for setting in control.settings]
        return control, states.answer(member, clamps) if clamps else None

    def states_at(self, member: Member) -> QuestionStates:
        """The known questions up to the hook that an SAE writes, where values are changed.

        They are run once for the SAEs of a group, and of those after it, that read and write the same hooks.
        """
        read, written = hooks = (member.hook_name, member.hook_name_out)
        if hooks not in self._states:
            self._states[hooks] = QuestionStates(
                self.lm, written, self.reader, self._asks, max_texts=self._max_texts, reads=read
            )
        return self._states[hooks]

    def _load_questions(self, context: EvalContext) -> list[QuestionSet]:
        config = self.config
        sets = [
            load_questions(name, max_questions=config.max_questions, seed=config.random_seed, data_dir=context.data_dir)
            for name in config.dataset_names
        ]
        self._provenance |= {questions.name: questions.provenance for questions in sets}
        return sets

    def _known(self, questions: QuestionSet) -> KnownQuestions:
        answer = partial(answer_plainly, self.lm, self.reader, max_texts=self._max_texts)
        known = find_known(
            questions,
            self.reader.orders,
            answer,
            required=self.config.required_correct,
            target=self.config.target_metric,
        )
        logger.info("%s knows %s", self.lm.name, _counts(known))
        return known


def rows_to_read(
    config: UnlearningEvalConfig, forget_NL: Tensor, retain_NL: Tensor, members: Sequence[Member] = ()
) -> list[Request]:
    """What a job asks the pass for.

    Args:
        config: of the job.
        forget_NL, retain_NL: packed rows.
        members: SAEs of a group; without any it can only be counted what is read.
    """
    return [
        TokenRows(rows_NL, config.rows_at_once, ActiveCounter(members), max_rows=config.llm_batch_size)
        for rows_NL in (forget_NL, retain_NL)
    ]


def pack_corpora(
    context: EvalContext, config: UnlearningEvalConfig
) -> tuple[Tensor, Tensor, dict[str, dict[str, str]]]:
    """Rows of the text to forget and of that to retain, and where they come from."""
    forget = corpora.open_texts(config.forget_corpus, data_dir=context.data_dir)
    retain = corpora.open_texts(config.retain_corpus, data_dir=context.data_dir)
    pack = partial(corpora.pack, lm=context.lm, length=config.seq_len)
    n, name, seed = config.dataset_size, config.forget_corpus, config.random_seed
    rows_NL = pack(corpora.sampled(forget.texts, n, name=name, seed=seed), name=name)
    forget_NL = corpora.sampled_rows(rows_NL, n, name=name, seed=seed)
    retain_NL = pack(retain.texts, name=config.retain_corpus, max_rows=config.dataset_size)
    provenance = {
        f"{role} corpus: {name}": {**source.provenance, "rows": str(len(rows_NL))}
        for role, name, source, rows_NL in (
            ("forget", config.forget_corpus, forget, forget_NL),
            ("retain", config.retain_corpus, retain, retain_NL),
        )
    }
    return forget_NL, retain_NL, provenance


def given_questions(questions: QuestionSet, indices: Sequence[int]) -> KnownQuestions:
    """Some questions of a set, taken for known without asking the model."""
    by_index: Mapping[int, Question] = {question.index: question for question in questions.questions}
    return KnownQuestions(
        questions.name,
        questions.subject,
        tuple(by_index[index] for index in indices),
        {"questions": len(questions.questions), "given": len(indices)},
    )


def check_known(known: Sequence[KnownQuestions], config: UnlearningEvalConfig, *, model: str) -> None:
    """Stop where there is too little knowledge to lose.

    Raises:
        PrerequisiteError: too few questions are known; the message has the counts of every set.
    """
    sizes = {of_set.name: len(of_set.questions) for of_set in known}
    sides = {
        f"of '{config.forget_dataset}'": sizes[config.forget_dataset],
        "to be kept": sum(sizes[name] for name in config.side_effect_datasets),
    }
    lacking = [f"{n} {what}" for what, n in sides.items() if n < config.min_known_questions]
    if not lacking:
        return
    letters = config.answer_format == "letters"
    orders = f"right in at least {config.required_correct} of 24 orders of the choices" if letters else "right"
    hints = ["a more capable model"]
    if letters:
        hints += ["answer_format cloze, which small models need", "a lower required_correct"]
    raise PrerequisiteError(
        f"unlearning: '{model}' knows too few questions ({orders}): {' and '.join(lacking)}; at least "
        f"{config.min_known_questions} are needed. Counts: {'; '.join(_counts(of_set) for of_set in known)}. "
        f"Next: {', '.join(hints)}, or other dataset_names."
    )


def _counts(known: KnownQuestions) -> str:
    parts = ", ".join(f"{n} {what}" for what, n in known.counts.items() if what != "questions")
    return f"{known.name}: of {known.counts['questions']}, {parts}"
