"""Positions, token ids and BOS that a run asks for: what evals read, what the result says, what is reused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_families import next_token_losses
from pass_samples import HOOK, member, random_texts
from tiny_runs import SETTINGS

from sae_bench.activations.one_pass import run_pass
from sae_bench.activations.requests import PooledTexts, PooledValues, only
from sae_bench.datasets import load_corpus
from sae_bench.datasets.packing import pack_corpus
from sae_bench.errors import ResultError, UsageError
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.token_choice import TokenChoice
from sae_bench.run.evaluate import evaluate
from sae_bench.run.request import RunRequest
from sae_bench.testing import tiny_model
from sae_bench.testing.tiny_models import tiny_sae

ROW = SETTINGS["core"]["context_size"]


@pytest.fixture
def core_of(lm: LanguageModel, data: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The result of core for an SAE that reconstructs nothing."""

    def run(name: str = "core", **options: Any) -> dict[str, Any]:
        own = {"dataset": str(data / "corpus.jsonl"), "exclude_special_tokens_from_reconstruction": False}
        settings = {"core": {**SETTINGS["core"], **own, **options.pop("core", {})}}
        summary = evaluate(
            lm, {"s": tiny_sae("zero")}, "core", output_folder=tmp_path / name, preset=None, settings=settings,
            sae_dtype="float32", **options,
        )  # fmt: skip
        return json.loads((summary.written or summary.skipped)[0].read_text())

    return run


def losses(result: dict[str, Any]) -> tuple[float, float]:
    metrics = result["eval_result_metrics"]["model_performance_preservation"]
    return metrics["ce_loss_with_sae"], metrics["ce_loss_without_sae"]


@pytest.mark.parametrize("leave_special", [False, True])
@pytest.mark.parametrize(("positions", "excluded"), [((5, 9), ()), ((0, None, 3), ()), (None, tuple(range(0, 320, 2)))])
@torch.no_grad()
def test_a_reconstruction_takes_the_place_of_what_is_read_and_is_judged_there(
    core_of: Callable[..., dict[str, Any]],
    lm: LanguageModel,
    data: Path,
    leave_special: bool,
    positions: tuple[int | None, ...] | None,
    excluded: tuple[int, ...],
):
    """By definition, with a plain forward pass: an SAE that gives zeros."""
    ids_BL = pack_corpus(load_corpus(str(data / "corpus.jsonl")), lm, n_rows=4, context_length=ROW)
    place_L = torch.arange(ROW)
    chosen_BL = torch.isin(place_L, place_L[slice(*(positions or (None,)))]) & ~torch.isin(
        ids_BL, torch.tensor(excluded)
    )
    special_BL = torch.isin(ids_BL, torch.tensor(sorted(lm.special_token_ids)))
    changed_BL = chosen_BL & ~special_BL if leave_special else chosen_BL
    assert 0 < int(changed_BL.sum()) < changed_BL.numel()
    hidden_BLD = lm.final_hidden(ids_BL, replace={HOOK: lambda x: x.masked_fill(changed_BL[..., None], 0)})
    counted = (chosen_BL & ~special_BL)[:, :-1]
    expected = [float(next_token_losses(lm, h, ids_BL)[counted].mean()) for h in (hidden_BLD, lm.final_hidden(ids_BL))]
    own = {"exclude_special_tokens_from_reconstruction": leave_special}
    assert losses(core_of(seqpos_slice=positions, exclude_tokens=excluded, core=own)) == pytest.approx(
        expected, rel=1e-5
    )


def test_a_result_says_what_was_read_and_is_reused_for_that_alone(core_of: Callable[..., dict[str, Any]]):
    plain = core_of("one")["provenance"]
    assert (plain["prepend_bos"], plain["exclude_tokens"], plain["seqpos_slice"]) == (True, [], None)
    changes: list[dict[str, Any]] = [{"prepend_bos": False}, {"exclude_tokens": "9,7"}, {"seqpos_slice": "1:"}]
    for options in changes:
        with pytest.raises(ResultError, match="model_fingerprint"):
            core_of("one", **options)
    asked = {"prepend_bos": False, "exclude_tokens": "9,7", "seqpos_slice": "1::2"}
    said = core_of("two", **asked)["provenance"]
    assert (said["prepend_bos"], said["exclude_tokens"], said["seqpos_slice"]) == (False, [7, 9], [1, None, 2])
    assert core_of("two", **asked)["provenance"] == said
    assert core_of("one", prepend_bos=True)["provenance"] == plain


def test_means_over_texts_are_over_what_is_read():
    whole = tiny_model("llama")
    texts = [*random_texts(whole, 9), [whole.bos_token_id, 20]]
    lm = whole.reading(TokenChoice.of((11, 12), (2, 6)))
    report = run_pass(lm, [PooledTexts(texts)], [member("relu")])
    values = only(report.served, PooledValues)
    for row, ids in enumerate(texts):
        x_LD = whole.capture(torch.tensor([ids]), [HOOK])[HOOK][0]
        read = [i for i in range(2, min(6, len(ids))) if ids[i] not in (11, 12)]
        expected = x_LD[read].double().mean(dim=0) if read else torch.zeros(whole.d_model).double()
        torch.testing.assert_close(values.activations[HOOK][row].double(), expected, atol=1e-5, rtol=0)


def test_a_choice_that_leaves_nothing_to_read_is_refused(core_of: Callable[..., dict[str, Any]]):
    for options in ({"seqpos_slice": "100:"}, {"exclude_tokens": tuple(range(320))}):
        with pytest.raises(UsageError, match="SAEs would read nothing"):
            core_of(**options)
    lm = tiny_model("gpt2").reading(TokenChoice.of((), (100, None)))
    with pytest.raises(UsageError, match="no token at positions 100:"):
        run_pass(lm, [PooledTexts([[3, 4], [5]])], [member("relu")])


def test_evals_that_go_by_given_tokens_say_so(core_of: Callable[..., dict[str, Any]], lm: LanguageModel):
    from sae_bench.evals.registry import eval_names, get_eval

    assert {name for name in eval_names() if get_eval(name).fixed_tokens} == {
        "absorption", "ravel", "sparse_probing_sae_probes", "unlearning",
    }  # fmt: skip
    assert not any("goes by" in text for text in core_of("w", seqpos_slice="1:")["provenance"]["warnings"])


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, (None, (), None)),
        ({"prepend_bos": False, "exclude_tokens": ("1,2", "3")}, (False, (1, 2, 3), None)),
        ({"seqpos_slice": "1:"}, (None, (), (1, None))),
        ({"seqpos_slice": ":20:2"}, (None, (), (None, 20, 2))),
    ],
)
def test_flags_and_files_ask_for_the_same(flags: dict[str, Any], expected: tuple[Any, ...], tmp_path: Path):
    request = RunRequest.from_flags({"model": "embedded", "sae_specs": ("embedded:.*",), **flags})
    (target,) = request.targets
    assert (target.prepend_bos, target.exclude_tokens, target.seqpos_slice) == expected
    lines = [f"{key}: {json.dumps(value)}" for key, value in flags.items()]
    path = tmp_path / "request.yaml"
    path.write_text("\n".join(["model: embedded", "saes: 'embedded:.*'", *lines]))
    assert RunRequest.from_yaml(path).targets == request.targets


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"seqpos_slice": "5"}, "START:STOP"),
        ({"seqpos_slice": "-3:"}, "positions count from the start"),
        ({"seqpos_slice": "5:2"}, r"seqpos_slice: 5:2: positions count"),
        ({"seqpos_slice": "a:b"}, "seqpos_slice"),
        ({"exclude_tokens": ("the",)}, "exclude_tokens"),
    ],
)
def test_what_is_no_position_and_no_id_is_refused(flags: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        RunRequest.from_flags({"model": "embedded", "sae_specs": ("embedded:.*",), **flags})
