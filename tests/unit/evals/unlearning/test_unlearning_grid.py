"""Answers under clamps: trees, resumed passes and sums of decoder rows against the plain forward."""

from __future__ import annotations

import pytest
import torch
from unlearning_plain import clamp_value, plain_scores, questions

from sae_bench.custom_saes.loading import Member
from sae_bench.evals.unlearning import clamping
from sae_bench.evals.unlearning.clamping import Clamp, encode_for_clamping
from sae_bench.evals.unlearning.formats import make_reader
from sae_bench.evals.unlearning.grid import QuestionStates, answer_plainly
from sae_bench.evals.unlearning.prompts import ORDERS, Ask
from sae_bench.evals.unlearning.trees import tree_batches
from sae_bench.testing.tiny_models import tiny_model, tiny_sae

BOUND = 2e-4
"""Largest difference of a log-likelihood or logit from the plain forward's, float32."""
CLAMPS = [
    Clamp((), 25.0),
    Clamp((3, 9, 20), 5.0),
    Clamp((3, 9, 20), 1.0),
    Clamp(tuple(range(0, 32, 2)), 2.0),
    Clamp((3, 9, 20), 5.0),
]


def asks(n: int = 5) -> list[Ask]:
    return [Ask(question, "words", ORDERS[(i * 7) % 24]) for i, question in enumerate(questions(n))]


def scores_of(states: QuestionStates, member: Member, clamps: list[Clamp]) -> torch.Tensor:
    """The scores behind `answer`, (G, Q, 4)."""
    kept = []
    correct = states.reader.correct

    def remember(scores_QC, asked):
        kept.append(scores_QC)
        return correct(scores_QC, asked)

    states.reader.correct = remember
    answers_GQ = states.answer(member, clamps)
    distinct = list(dict.fromkeys(c for c in clamps if c.latents))
    scores = {clamp: kept[place] for place, clamp in enumerate(distinct)}
    untouched = states.scores_RW.reshape(len(states.asks), 4)
    assert answers_GQ.shape == (len(clamps), len(states.asks))
    return torch.stack([scores.get(clamp, untouched) for clamp in clamps])


@pytest.mark.parametrize("answer_format", ["letters", "cloze"])
@pytest.mark.parametrize(
    ("family", "architecture", "hook"),
    [
        ("gpt2", "topk", "blocks.1.hook_resid_post"),
        ("gemma3", "jumprelu", "blocks.0.hook_resid_post"),
        ("llama", "relu", "blocks.1.hook_resid_pre"),
        ("gpt_neox", "gated", "blocks.1.hook_mlp_out"),
        ("gpt2", "batch_topk", "hook_embed"),
        ("qwen3", "pca", "blocks.2.hook_resid_post"),
    ],
)
def test_scores_are_those_of_the_plain_forward(family, architecture, hook, answer_format):
    lm = tiny_model(family)
    sae = tiny_sae(architecture, hook_name=hook)
    reader = make_reader(lm, answer_format, "plain")
    states = QuestionStates(lm, hook, reader, asks(3))
    found_GQC = scores_of(states, Member("tiny", "sae", sae, hook), CLAMPS)
    offset = 0.0
    for g, clamp in enumerate(CLAMPS):
        for q, ask in enumerate(states.asks):
            expected_C = torch.tensor(plain_scores(lm, reader, ask, sae, clamp))
            if answer_format == "letters":  # logits against log-likelihoods: the same up to a constant
                offset = expected_C.mean() - found_GQC[g, q].mean()
            torch.testing.assert_close(found_GQC[g, q] + offset, expected_C, rtol=0, atol=BOUND)
    assert float((found_GQC[1] - found_GQC[0]).abs().max()) > 0.01  # the clamp does something


def test_models_that_cannot_share_read_every_row_by_itself(lm, monkeypatch):
    reader = make_reader(lm, "cloze", "plain")
    shared = answer_plainly(lm, reader, asks())
    assert any(batch.layout is not None for batch in tree_batches(lm, reader.rows(asks()), rows_per_ask=4))
    monkeypatch.setattr(lm, "shares_beginnings", lambda: False)
    batches = list(tree_batches(lm, reader.rows(asks()), rows_per_ask=4))
    assert all(batch.layout is None for batch in batches)
    assert sum(len(batch.trees) for batch in batches) == 20
    assert torch.equal(answer_plainly(lm, reader, asks()), shared)


def test_trees_hold_every_row_once_and_share_beginnings(lm):
    reader = make_reader(lm, "letters", "plain")
    rows = reader.rows(asks(12))
    batches = list(tree_batches(lm, rows, rows_per_ask=1))
    places = sorted(place for batch in batches for tree in batch.trees for place in tree.row_numbers)
    assert places == list(range(12))
    assert sum(len(tree.tree.ids) for batch in batches for tree in batch.trees) < sum(len(row.ids) for row in rows)
    one_by_one = list(tree_batches(lm, rows, rows_per_ask=1, max_trees=1))
    assert all(len(batch.trees) == 1 for batch in one_by_one)


def test_rows_longer_than_a_window_are_not_shared(monkeypatch):
    lm = tiny_model("gemma3")
    lm.config.sliding_window = 20
    monkeypatch.setattr(lm, "shares_beginnings", lambda: True)
    rows = make_reader(lm, "cloze", "plain").rows(asks(2))
    assert max(len(row.ids) for row in rows) > 20
    assert all(batch.layout is None for batch in tree_batches(lm, rows, rows_per_ask=4))


def test_untouched_questions_are_not_run_again(lm, monkeypatch):
    sae = tiny_sae("jumprelu")
    sae.threshold.data[5] = 1e6  # a latent that is never active
    states = QuestionStates(lm, sae.cfg.hook_name, make_reader(lm, "cloze", "plain"), asks())
    monkeypatch.setattr(lm, "final_hidden", lambda *_, **__: pytest.fail("the model ran"))
    answers_GQ = states.answer(Member("tiny", "sae", sae, sae.cfg.hook_name), [Clamp((5,), 100.0), Clamp((), 1.0)])
    assert torch.equal(answers_GQ, states.correct_Q.repeat(2, 1))


def test_out_of_memory_halves_the_batch(lm, monkeypatch):
    sae = tiny_sae("topk")
    member = Member("tiny", "sae", sae, sae.cfg.hook_name)
    states = QuestionStates(lm, sae.cfg.hook_name, make_reader(lm, "cloze", "plain"), asks())
    expected_GQ = states.answer(member, CLAMPS)
    run = lm.final_hidden

    def small_only(ids_BL, **kwargs):
        if len(ids_BL) > 1:
            raise torch.OutOfMemoryError("too much")
        return run(ids_BL, **kwargs)

    monkeypatch.setattr(lm, "final_hidden", small_only)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert torch.equal(states.answer(member, CLAMPS), expected_GQ)


class Normalising:
    """An SAE whose decoder is not linear: it gives each token its norm back."""

    def __init__(self) -> None:
        self.inner = tiny_sae("relu")
        self.cfg = self.inner.cfg
        self.W_dec = self.inner.W_dec
        self.decoder_is_linear = False

    def encode(self, x):
        self.norm = x.norm(dim=-1, keepdim=True)
        return self.inner.encode(x / self.norm)

    def decode(self, f):
        return self.inner.decode(f) * self.norm


def test_decoders_that_are_not_linear_are_decoded():
    sae = Normalising()
    x_ND = torch.randn(7, 32, generator=torch.Generator().manual_seed(0))
    clamp = Clamp((1, 4, 6), 3.0)
    tokens = encode_for_clamping(sae, x_ND, [1, 4, 6])
    first = torch.zeros(1, 32) + 1.0  # position 0, which is never changed
    expected = clamp_value(sae, torch.cat([first, x_ND]), clamp)[1:]
    sae.encode(x_ND)
    torch.testing.assert_close(tokens.clamped(clamp), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(tokens.active(clamp), (sae.encode(x_ND)[:, [1, 4, 6]] > 0).any(1))


@pytest.mark.parametrize("architecture", ["topk", "batch_topk", "jumprelu", "relu"])
def test_of_sparse_codes_only_the_named_latents_are_unfolded(architecture, monkeypatch):
    sae = tiny_sae(architecture)
    x_ND = torch.randn(50, 32, generator=torch.Generator().manual_seed(0))
    latents, clamp = [0, 3, 9, int(sae.cfg.d_sae) - 1], Clamp((3, 9), 2.0)
    expected_NF = sae.encode(x_ND)
    whole = encode_for_clamping(sae, x_ND, latents)
    torch.testing.assert_close(whole.codes_NK, expected_NF[:, latents])
    monkeypatch.setattr(clamping, "CODE_BYTES", 1)  # one token at a time
    alone = encode_for_clamping(sae, x_ND, latents)
    torch.testing.assert_close(alone.clamped(clamp), whole.clamped(clamp), rtol=1e-5, atol=1e-5)
    assert torch.equal(alone.active(clamp), (expected_NF[:, [3, 9]] > 0).any(1))


def test_half_precision_is_clamped_in_float32():
    sae = tiny_sae("relu").to(dtype=torch.bfloat16)
    x_ND = torch.randn(7, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    clamped = encode_for_clamping(sae, x_ND, [0, 1, 2]).clamped(Clamp((0, 2), 4.0))
    assert clamped.dtype == torch.float32
    quiet = ~encode_for_clamping(sae, x_ND, [0, 1, 2]).active(Clamp((0, 2), 4.0))
    assert torch.equal(clamped[quiet], x_ND[quiet].float())


def test_ties_and_order_in_a_cloze(lm):
    reader = make_reader(lm, "cloze", "plain")
    ask = Ask(questions(1, answer=1)[0], "words")
    scores = torch.tensor([[0.0, 1.0, 0.5, 0.2], [0.0, 1.0, 1.0, 0.2], [2.0, 1.0, 0.5, 0.2]])
    assert reader.correct(scores, [ask] * 3).tolist() == [True, False, False]
