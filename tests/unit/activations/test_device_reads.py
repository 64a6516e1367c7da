"""What an SAE costs per batch on a device: operations, and how often the host waits for a number of it."""

from __future__ import annotations

import collections
from collections.abc import Callable
from functools import cache

import pytest
import torch
from pretend_device import DEVICE, Counted, moved

from sae_bench.activations import encoding
from sae_bench.activations.one_pass import run_pass
from sae_bench.activations.pass_report import PassReport
from sae_bench.activations.requests import PooledTexts
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.evaluate import CoreJob
from sae_bench.language_models import LanguageModel, Resume
from sae_bench.testing import tiny_model, tiny_sae

HOOK = "blocks.1.hook_resid_post"
BATCHES = 2
ROWS, LENGTH = 8, 8
"""Of a batch of core; two blocks of rows."""

Measured = Callable[[LanguageModel, list[Member], int], PassReport]


@pytest.fixture(autouse=True)
def few_batches_per_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(encoding, "BATCHES_PER_READ", {DEVICE.type: BATCHES})


def members(architecture: str, n: int) -> list[Member]:
    return [Member("tiny", f"sae{i}", tiny_sae(architecture, hook_name=HOOK, seed=i), HOOK) for i in range(n)]


def on_device(measured: Measured, saes: list[Member], n_batches: int) -> tuple[Counted, PassReport]:
    """What a pass over so many batches costs with model and SAEs on the device."""
    lm = tiny_model("llama")
    for module in (lm.model, *(member.sae for member in saes)):
        moved(module)
    with Counted() as counted:
        report = measured(lm, saes, n_batches)
    return counted, report


def core(lm: LanguageModel, saes: list[Member], n_batches: int, *, losses: bool = True) -> PassReport:
    rows = torch.randint(3, 300, (ROWS * n_batches, LENGTH), generator=torch.Generator().manual_seed(0))
    rows[:, 0] = lm.bos_token_id
    config = CoreEvalConfig(
        n_eval_reconstruction_batches=n_batches if losses else 0, batch_size_prompts=ROWS,
        n_eval_sparsity_variance_batches=n_batches,
    )  # fmt: skip
    job = CoreJob(EvalContext(lm, (HOOK,), (42,)), config, rows_NL=rows)
    return run_pass(lm, job.requests(saes), saes)


def statistics(lm: LanguageModel, saes: list[Member], n_batches: int) -> PassReport:
    return core(lm, saes, n_batches, losses=False)


def pooling(lm: LanguageModel, saes: list[Member], n_batches: int) -> PassReport:
    texts = [[3 + i, 9, 8, 7] for i in range(ROWS * n_batches)]
    return run_pass(lm, [PooledTexts(texts, max_texts=ROWS)], saes)


def last_tokens(lm: LanguageModel, saes: list[Member], n_batches: int) -> PassReport:
    texts = [[3 + i, 9, 8, 7] for i in range(ROWS * n_batches)]
    return run_pass(lm, [PooledTexts(texts, max_texts=ROWS, tokens="last")], saes)


@cache
def of_more_batches(measured: Measured, architecture: str, n_saes: int) -> tuple[int, collections.Counter[str]]:
    """Operations and reads of `BATCHES` further batches."""
    few, many = (on_device(measured, members(architecture, n_saes), n * BATCHES)[0] for n in (1, 2))
    return many.n - few.n, many.reads - few.reads


def of_one_more_sae(measured: Measured, architecture: str) -> tuple[float, collections.Counter[str]]:
    """What one SAE more adds: operations per batch, and reads of all batches but the first."""
    (n_one, reads_one), (n_two, reads_two) = (of_more_batches(measured, architecture, n) for n in (1, 2))
    return (n_two - n_one) / BATCHES, reads_two - reads_one


@cache
def of_a_branch() -> tuple[int, int]:
    """Operations and reads of the model from the hook on."""
    lm = tiny_model("llama")
    moved(lm.model)
    with Counted() as counted:
        ids = torch.zeros(ROWS, LENGTH, dtype=torch.long).to(DEVICE)
        lm.final_hidden(ids, resume=Resume(2, torch.zeros(ROWS, LENGTH, lm.d_model).to(DEVICE)))
    return counted.n, counted.reads.total()


@pytest.mark.parametrize("architecture", ["relu", "jumprelu", "topk"])
def test_statistics_of_an_sae_wait_for_the_device_once_in_some_batches(architecture: str):
    n, reads = of_one_more_sae(statistics, architecture)
    assert not reads, "one read serves all SAEs of a group"
    assert n <= 120


def test_losses_of_an_sae_wait_for_the_device_no_more_often():
    """Of all blocks of rows at once, whatever the vocabulary; what the model does by itself is not counted."""
    n, reads = of_one_more_sae(core, "relu")
    n_branch, reads_branch = of_a_branch()
    assert reads.total() == BATCHES * reads_branch
    assert n - n_branch <= 200


@pytest.mark.parametrize(("measured", "architecture"), [(pooling, "relu"), (pooling, "topk"), (last_tokens, "relu")])
def test_pooled_codes_of_an_sae_are_fetched_together(measured: Measured, architecture: str):
    n, reads = of_one_more_sae(measured, architecture)
    assert not reads
    assert n <= 40


@pytest.mark.parametrize(
    ("measured", "per_batch", "n_branches"), [(statistics, 2, 0), (core, 3, 3), (pooling, 2, 0), (last_tokens, 2, 0)]
)
def test_reads_of_a_pass(measured: Measured, per_batch: int, n_branches: int):
    """The model reads its numbers' finiteness each time; of all SAEs together it is read once in some batches."""
    _, more = of_more_batches(measured, "relu", 1)
    assert set(more) <= {"_local_scalar_dense", "nonzero", "to the CPU"}
    assert more["to the CPU"] == 1
    assert more["nonzero"] <= BATCHES
    assert more.total() <= BATCHES * (per_batch + n_branches * of_a_branch()[1]) + 1


def test_codes_that_are_not_finite_are_noticed_at_the_next_read():
    good, bad = members("relu", 2)
    with torch.no_grad():
        bad.sae.b_enc[3] = float("inf")
    _, report = on_device(statistics, [good, bad], 2 * BATCHES + 3)
    assert list(report.failed) == [bad.key]
    assert "NaN or infinite, in float32" in str(report.failed[bad.key])


def test_texts_end_with_a_read():
    good, bad = members("relu", 2)
    with torch.no_grad():
        bad.sae.b_enc[3] = float("inf")
    _, report = on_device(pooling, [good, bad], 1)
    assert list(report.failed) == [bad.key]
    assert list(report.served[0].codes) == [good.key]
