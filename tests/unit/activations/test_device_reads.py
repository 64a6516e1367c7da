"""What an SAE costs per batch on a device: operations, and how often the host waits for a number of it."""

from __future__ import annotations

import collections
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sae_bench.activations import encoding
from sae_bench.activations.one_pass import run_pass
from sae_bench.activations.pass_report import PassReport
from sae_bench.activations.requests import PooledTexts
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.base import EvalContext
from sae_bench.evals.core import token_statistics
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.evaluate import CoreJob
from sae_bench.testing import tiny_model, tiny_sae

HOOK = "blocks.1.hook_resid_post"
READS = {"_local_scalar_dense", "nonzero", "bincount", "masked_select", "_unique2", "equal"}
"""Operations that end when the device has answered, beside indexing with a mask."""
BATCHES = 3


class Counted(TorchDispatchMode):
    """Counts operations, and those that wait for the device by name."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0
        self.reads: collections.Counter[str] = collections.Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.n += 1
        masks = (
            [i for i in args[1] if i is not None and i.dtype == torch.bool]
            if name.startswith("index") and len(args) > 1 and isinstance(args[1], list | tuple)
            else []
        )
        if name in READS or masks:
            self.reads[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def as_on_an_accelerator(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(encoding, "BATCHES_PER_READ", {"cpu": BATCHES})
    monkeypatch.setattr(token_statistics, "ROW_BY_ROW", ())


def members(architecture: str, n: int) -> list[Member]:
    return [Member("tiny", f"sae{i}", tiny_sae(architecture, hook_name=HOOK, seed=i), HOOK) for i in range(n)]


def core_statistics(saes: list[Member], n_batches: int) -> tuple[Counted, PassReport]:
    lm = tiny_model("llama")
    rows = torch.randint(3, 300, (4 * n_batches, 8), generator=torch.Generator().manual_seed(0))
    config = CoreEvalConfig(
        compute_kl=False, compute_ce_loss=False, n_eval_reconstruction_batches=0, batch_size_prompts=4,
        n_eval_sparsity_variance_batches=n_batches,
    )  # fmt: skip
    job = CoreJob(EvalContext(lm, (HOOK,), (42,)), config, rows_NL=rows)
    with Counted() as counted:
        report = run_pass(lm, job.requests(saes), saes)
    return counted, report


def of_one_more_sae(architecture: str, n_batches: int) -> tuple[int, collections.Counter[str]]:
    """What one SAE more adds to a pass of so many batches."""
    one, two = (core_statistics(members(architecture, n), n_batches)[0] for n in (1, 2))
    return two.n - one.n, two.reads - one.reads


@pytest.mark.parametrize("architecture", ["relu", "jumprelu", "gated", "batch_topk", "topk"])
def test_statistics_of_an_sae_wait_for_the_device_once_in_some_batches(architecture: str):
    n_few, reads_few = of_one_more_sae(architecture, BATCHES)
    n_many, reads_many = of_one_more_sae(architecture, 3 * BATCHES)
    assert reads_many == reads_few, "one read serves all SAEs of a group"
    assert (n_many - n_few) / (2 * BATCHES) <= 120


@pytest.mark.parametrize("n_saes", [1, 3])
def test_reads_of_a_pass(n_saes: int):
    """Of the model, whether a batch was finite is read each time; of all SAEs together, once in some batches."""
    few, many = (core_statistics(members("topk", n_saes), n * BATCHES)[0].reads for n in (1, 3))
    more = many - few
    assert more["bincount"] == more["nonzero"] == 0
    assert more["index"] == 2 * BATCHES  # the model's numbers at the tokens that count
    assert more["_local_scalar_dense"] <= 2 * BATCHES * 2 + 2 * n_saes  # are they finite; and one in transformers


def test_codes_that_are_not_finite_are_noticed_at_the_next_read():
    good, bad = members("relu", 2)
    with torch.no_grad():
        bad.sae.b_enc[3] = float("inf")
    _, report = core_statistics([good, bad], 2 * BATCHES + 3)
    assert list(report.failed) == [bad.key]
    assert "NaN or infinite, in float32" in str(report.failed[bad.key])


def test_texts_end_with_a_read():
    lm, (good, bad) = tiny_model("llama"), members("relu", 2)
    with torch.no_grad():
        bad.sae.b_enc[3] = float("inf")
    report = run_pass(lm, [PooledTexts([[5, 6, 7], [8, 9]])], [good, bad])
    assert list(report.failed) == [bad.key]
    assert list(report.served[0].codes) == [good.key]
