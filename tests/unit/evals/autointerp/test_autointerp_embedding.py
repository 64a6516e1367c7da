"""The judge-free score: nothing to be seen gives one half, a planted truth gives one, and the floor knows nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from sae_bench.evals.autointerp.embedding_score import NO_SCORE, EmbeddingScores, embedding_scores
from sae_bench.evals.autointerp.eval_config import AutoInterpEvalConfig
from sae_bench.evals.autointerp.examples import Case, Corpus, Example, LatentExamples, make_examples
from sae_bench.evals.autointerp.ranking import area_under_curve
from sae_bench.language_models import LanguageModel

ROWS, LENGTH, BUFFER = 400, 64, 5
CONFIG = AutoInterpEvalConfig(
    llm_context_size=LENGTH, buffer=BUFFER, n_top_ex_for_generation=8, n_iw_sampled_ex_for_generation=4, judge="none"
)


def letters(texts: Sequence[str]) -> Tensor:
    """Counts of pairs of characters, to unit length: texts that share tokens are near to one another."""
    vectors = torch.zeros(len(texts), 512)
    for row, text in enumerate(texts):
        for first, second in itertools.pairwise(text):
            vectors[row, (ord(first) * 31 + ord(second)) % 512] += 1
    return torch.nn.functional.normalize(vectors, dim=1)


@pytest.fixture(scope="module")
def corpus(lm: LanguageModel) -> Corpus:
    generator = torch.Generator().manual_seed(0)
    return Corpus(torch.randint(30, lm.d_vocab, (ROWS, LENGTH), generator=generator), lm.tokenizer)


def bursts(latent: int, n: int = 30) -> tuple[Tensor, Tensor]:
    """Activations on stretches of 10 to 20 tokens anywhere, strongest in the middle: they mean nothing."""
    generator = torch.Generator().manual_seed(latent)
    active = torch.zeros(ROWS, LENGTH)
    for row in torch.randperm(ROWS, generator=generator)[:n].tolist():
        length = int(torch.randint(10, 21, (1,), generator=generator))
        start = int(torch.randint(1, LENGTH - length, (1,), generator=generator))
        shape = 1 - (torch.arange(length) - length / 2).abs() / length
        active[row, start : start + length] = shape * (1 + float(torch.rand(1, generator=generator)))
    position = active.flatten().nonzero()[:, 0]
    return position, active.flatten()[position]


def examples_of(corpus: Corpus, n: int, config: AutoInterpEvalConfig = CONFIG) -> dict[Case, LatentExamples]:
    examples: dict[Case, LatentExamples] = {}
    for latent in range(n):
        made = make_examples(latent, bursts(latent), corpus, config, seed=1)
        assert not isinstance(made, str)
        examples[1, latent] = made
    return examples


def with_shared_tokens(examples: dict[Case, LatentExamples], corpus: Corpus) -> dict[Case, float]:
    """The scores without a look at shared tokens."""
    scores: dict[Case, float] = {}
    for case, of_latent in examples.items():
        windows = [corpus.text(e, mark=False) for e in (*of_latent.generation, *of_latent.scoring)]
        vectors = letters(windows)
        similarity = vectors[len(of_latent.generation) :] @ vectors[: len(of_latent.generation)].mean(dim=0)
        active = torch.tensor([e.counts_as_active for e in of_latent.scoring])
        score = area_under_curve(similarity[active], similarity[~active])
        if score is not None:
            scores[case] = score
    return scores


def mean_and_error(values: dict[Case, float]) -> tuple[float, float]:
    of_latents = torch.tensor(list(values.values()), dtype=torch.float64)
    return float(of_latents.mean()), float(of_latents.std() / math.sqrt(len(of_latents)))


@pytest.mark.slow
def test_meaningless_bursts_score_one_half(corpus):
    """Without the look at shared tokens the same windows score far above it."""
    examples = examples_of(corpus, 120)
    mean, error = mean_and_error(with_shared_tokens(examples, corpus))
    assert mean - 0.5 > 4 * error
    scores = embedding_scores(examples, letters, corpus)
    for values in (scores.score, scores.floor):
        mean, error = mean_and_error(values)
        assert len(values) == 120
        assert abs(mean - 0.5) < 3 * error
        assert error < 0.03


def test_no_window_that_is_compared_shares_tokens_with_one_it_is_compared_with(corpus):
    seen: list[set[str]] = []

    def watching(texts: Sequence[str]) -> Tensor:
        seen.append(set(texts))
        return letters(texts)

    examples = examples_of(corpus, 20)
    assert any(g.overlaps(s) for of in examples.values() for g in of.generation for s in of.scoring)
    scores = embedding_scores(examples, watching, corpus)
    assert len(seen) == 1, "all windows of an SAE are embedded at once"
    for case, of_latent in examples.items():
        apart = [
            g for g in of_latent.generation if all(abs(g.position - s.position) > 2 * BUFFER for s in of_latent.scoring)
        ]
        mean_E = letters([corpus.text(e, mark=False) for e in apart]).mean(dim=0)
        positive = [corpus.text(e, mark=False) for e in of_latent.scoring if e.counts_as_active]
        negative = [corpus.text(e, mark=False) for e in of_latent.scoring if e.kind == "random" and not e.fires]
        assert scores.score[case] == pytest.approx(
            area_under_curve(letters(positive) @ mean_E, letters(negative) @ mean_E)
        )


def window(position: int, kind: str, *, value: float, token: int = 40) -> Example:
    values = (0.0,) * BUFFER + (value,) + (0.0,) * BUFFER
    return Example(position, kind, (token,) * (2 * BUFFER + 1), values, 0.1)  # type: ignore[arg-type]


def one(corpus: Corpus, generation: Sequence[Example], scoring: Sequence[Example], latent: int = 3) -> EmbeddingScores:
    return embedding_scores({(1, latent): LatentExamples(latent, tuple(generation), tuple(scoring))}, letters, corpus)


def test_windows_on_which_the_latent_is_active_are_no_negatives(corpus):
    """A random window that is active and reads like the others would pull the score down as a negative."""
    generation = [window(100, "top", value=1.0, token=40)]
    positive, negative = window(300, "top", value=1.0, token=40), window(500, "random", value=0.0, token=50)
    active = window(700, "random", value=1.0, token=40)
    weak = window(900, "drawn", value=0.05, token=40)
    assert one(corpus, generation, [positive, negative]).score == {(1, 3): 1.0}
    assert one(corpus, generation, [positive, negative, active, weak]).score == {(1, 3): 1.0}
    none = one(corpus, generation, [positive, active])
    assert none.score == none.floor == {}
    assert none.without == {3: NO_SCORE}
    assert one(corpus, [window(305, "drawn", value=1.0)], [positive, negative]).without == {3: NO_SCORE}
    assert one(corpus, [window(311, "drawn", value=1.0)], [positive, negative]).score == {(1, 3): 1.0}


def test_the_floor_is_the_score_with_the_windows_of_the_next_latent_of_the_same_seed(corpus):
    def latent(number: int, token: int) -> LatentExamples:
        start = number * 1000
        scoring = (
            window(start + 100, "top", value=1.0, token=token),
            window(start + 200, "random", value=0.0, token=90),
        )
        return LatentExamples(number, (window(start, "top", value=1.0, token=token),), scoring)

    first, second, other_seed = latent(1, 40), latent(2, 90), latent(3, 40)
    scores = embedding_scores({(1, 1): first, (1, 2): second, (2, 3): other_seed}, letters, corpus)
    assert scores.score == {(1, 1): 1.0, (1, 2): 0.5, (2, 3): 1.0}
    assert scores.floor[1, 1] == 0.0, "the other latent's windows read like the negatives"
    assert scores.floor[1, 2] == 0.5
    assert (2, 3) not in scores.floor, "there is no other latent"
