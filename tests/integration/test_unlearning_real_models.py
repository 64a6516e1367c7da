"""Unlearning by cloze on real models: what they know, the plain forward, and SAEs in the order they must have."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from sae_bench.activations.one_pass import run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.datasets import geography
from sae_bench.evals.base import EvalContext, Scores
from sae_bench.evals.registry import get_eval
from sae_bench.evals.unlearning.clamping import Clamp
from sae_bench.evals.unlearning.eval_config import UnlearningEvalConfig
from sae_bench.evals.unlearning.evaluate import UnlearningJob
from sae_bench.evals.unlearning.grid import QuestionStates
from sae_bench.language_models import LanguageModel

BOUND = 2e-3
"""Largest difference of a choice's mean log-likelihood from the plain forward's, in nats, float32."""
SETTINGS = {
    "max_questions": 14,
    "dataset_size": 8,
    "seq_len": 128,
    "retain_thresholds": [0.02],
    "n_features_list": [5],
    "multipliers": [400],
    "min_known_questions": 2,
}


@pytest.fixture(autouse=True)
def _needs_facts() -> None:
    if geography.installed_version() is None:
        pytest.skip(f"pip install --no-deps {geography.REQUIREMENT}")


class Directions:
    """An SAE of unit directions; a latent is active where a token lies further along it than its threshold."""

    decoder_is_linear = True

    def __init__(self, hook: str, rows_FD: Tensor, threshold_F: Tensor) -> None:
        self.W_dec = rows_FD / rows_FD.norm(dim=1, keepdim=True)
        self.threshold_F = threshold_F
        self.cfg = SimpleNamespace(d_in=rows_FD.shape[1], d_sae=len(rows_FD), hook_name=hook, model_name="")

    def encode(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.W_dec.T - self.threshold_F)

    def decode(self, f: Tensor) -> Tensor:
        return f @ self.W_dec


def quiet_on(hook: str, rows_FD: Tensor, x_ND: Tensor, share: float) -> Directions:
    """Latents of these directions, each active on `share` of the tokens."""
    sae = Directions(hook, rows_FD, torch.zeros(len(rows_FD)))
    along_NF = x_ND @ sae.W_dec.T
    return Directions(hook, rows_FD, along_NF.quantile(1 - share, dim=0))


@torch.no_grad()
def tokens_of(lm: LanguageModel, hook: str, rows_NL: Tensor) -> Tensor:
    x_BLD = lm.capture(rows_NL, [hook])[hook]
    return x_BLD[~torch.isin(rows_NL, torch.tensor(sorted(lm.special_token_ids)))]


def start(lm: LanguageModel, hook: str, **changes: object) -> UnlearningJob:
    config = UnlearningEvalConfig(**{**get_eval("unlearning").embedded, **SETTINGS, **changes})
    return UnlearningJob(EvalContext(lm, (hook,), (42,)), config)


def score(job: UnlearningJob, sae: Directions) -> Scores:
    member = Member("test", "sae", sae, sae.cfg.hook_name)
    report = run_pass(job.lm, job.requests([member]), [member])
    assert not report.failed
    return job.score(member, report.served)


def check_ranks(job: UnlearningJob, hook: str) -> None:
    """A planted SAE unlearns the topic and nothing else, random directions do not, and no latents do nothing."""
    forget_ND, retain_ND = (tokens_of(job.lm, hook, rows_NL) for rows_NL in (job.forget_NL, job.retain_NL))
    topic_D = forget_ND.mean(0) - retain_ND.mean(0)
    spread_D = retain_ND.std(0).clamp(min=1e-3)  # some channels are hundreds of times larger than others
    random_FD = torch.randn(64, forget_ND.shape[1], generator=torch.Generator().manual_seed(0))
    planted = score(job, quiet_on(hook, (topic_D / spread_D**2)[None], retain_ND, 0.0))
    random = score(job, quiet_on(hook, random_FD, retain_ND, 0.01))
    silent = score(job, Directions(hook, random_FD, torch.full((64,), 1e9)))
    (by_plan,), (by_chance,), (by_none,) = planted.details, random.details, silent.details
    assert by_plan.n_clamped == 1
    assert by_plan.side_effect_accuracy == 1.0
    assert planted.metrics.unlearning.unlearning_score >= 0.5
    assert by_chance.n_clamped == 5
    assert by_chance.side_effect_accuracy < 0.99  # it forgets more than the topic
    assert random.metrics.unlearning.unlearning_score == 0.0
    assert (by_none.n_clamped, by_none.forget_accuracy, by_none.side_effect_accuracy) == (0, 1.0, 1.0)
    assert silent.metrics.unlearning.unlearning_score == 0.0


def check_known(job: UnlearningJob, share: float) -> None:
    """The model knows at least this share of both sets, more than the quarter that chance gives."""
    for of_set in job.known:
        assert of_set.counts["questions"] == SETTINGS["max_questions"]
        assert of_set.counts["correct"] == len(of_set.questions) >= share * of_set.counts["questions"]
        assert of_set.counts["correct-iff-question"] <= of_set.counts["correct"]


@torch.no_grad()
def check_plain(job: UnlearningJob, hook: str) -> None:
    """One question under a clamp, its choices laid over one another and resumed, and one plain forward per choice."""
    lm = job.lm
    x_ND = tokens_of(lm, hook, job.forget_NL[:1])
    sae = quiet_on(hook, torch.randn(8, x_ND.shape[1], generator=torch.Generator().manual_seed(1)), x_ND, 0.3)
    clamp, ask = Clamp((1, 4, 6), 20.0), job.known[0].asks[0]

    def clamped(x_BLD: Tensor) -> Tensor:
        codes_BLF = sae.encode(x_BLD)
        codes_BLF[:, 0] = 0.0
        changed_BLF = codes_BLF.clone()
        chosen_BLK = codes_BLF[..., list(clamp.latents)]
        changed_BLF[..., list(clamp.latents)] = chosen_BLK.masked_fill(chosen_BLK > 0, -clamp.multiplier)
        return x_BLD - sae.decode(codes_BLF) + sae.decode(changed_BLF)

    expected = []
    for row in job.reader.rows([ask]):
        hidden_LD = lm.final_hidden(torch.tensor([row.ids]), replace={hook: clamped})[0]
        log_probs_NV = lm.unembed(hidden_LD[list(row.reads)]).log_softmax(-1)
        expected.append(log_probs_NV.gather(1, torch.tensor(row.ids[row.scored_from :])[:, None]).mean())
    states = QuestionStates(lm, hook, job.reader, [ask])
    kept: list[Tensor] = []
    read = job.reader.correct
    job.reader.correct = lambda scores_QC, asks: kept.append(scores_QC) or read(scores_QC, asks)
    states.answer(Member("test", "sae", sae, hook), [clamp])
    del job.reader.correct
    torch.testing.assert_close(kept[0][0], torch.stack(expected), rtol=0, atol=BOUND)
    assert float((kept[0] - states.scores_RW.view(1, -1)).abs().max()) > 10 * BOUND  # the clamp does something


def test_smollm2_by_cloze(embedded_lm):
    hook = "blocks.10.hook_resid_post"
    job = start(embedded_lm, hook)
    check_known(job, 0.35)
    check_plain(job, hook)
    check_ranks(job, hook)
