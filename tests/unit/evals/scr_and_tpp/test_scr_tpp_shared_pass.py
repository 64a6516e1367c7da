"""scr, tpp and sparse_probing in one run: shared texts run once, results are taken up again, seeds may draw anew."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from scr_tpp_settings import TINY
from tiny_runs import SETTINGS, handle, read

from sae_bench.activations import encoding
from sae_bench.activations.one_pass import PassOptions
from sae_bench.evals.registry import get_eval
from sae_bench.language_models import LanguageModel
from sae_bench.run import planning
from sae_bench.run.planning import load_context, make_config
from sae_bench.run.runner import EvalRequest, RunPlan, run
from sae_bench.testing.tiny_models import tiny_model

pytestmark = pytest.mark.slow

EVALS = ("sparse_probing", "scr", "tpp")
SEEDS = (1, 2, 3)
SIZES = {"train_set_size": 24, "test_set_size": 12}
PROBING = {
    **SETTINGS["sparse_probing"],
    "dataset_names": ["tiny/times"],
    **{f"probe_{key}": size for key, size in SIZES.items()},
}


def plan(lm: LanguageModel, out: Path, *, evals: tuple[str, ...] = EVALS, **changes: Any) -> RunPlan:
    requests = []
    for name in evals:
        values = PROBING if name == "sparse_probing" else TINY
        config = make_config(get_eval(name), {"model_name": lm.name, **values, "llm_dtype": "float32"})
        requests.append(EvalRequest(get_eval(name), config))
    settings = {"seeds": SEEDS, "pass_options": PassOptions(max_tokens=256), **changes}
    return RunPlan(lm, requests, [handle("a"), handle("b", "relu", seed=1)], out, load_context(lm), **settings)


@contextmanager
def forward_texts(lm: LanguageModel) -> Iterator[Counter[tuple[int, ...]]]:
    """How often each text enters the model, padding cut off; the lone BOS that finds out where hooks sit is no text."""
    texts: Counter[tuple[int, ...]] = Counter()
    pad = lm.tokenizer.pad_token_id

    def note(_module: Any, args: tuple[torch.Tensor]) -> None:
        for ids in args[0].tolist():
            while ids and ids[-1] == pad:
                ids.pop()
            if len(ids) > 1:
                texts[tuple(ids)] += 1

    hook = lm.model.get_input_embeddings().register_forward_pre_hook(note)
    try:
        yield texts
    finally:
        hook.remove()


def distinct_texts(lm: LanguageModel, folder: Path) -> set[tuple[int, ...]]:
    """Token ids of all texts of the set."""
    rows = [json.loads(line)["text"] for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    return set(map(tuple, lm.tokenize(rows, max_length=TINY["context_length"])))


def test_texts_that_three_evals_share_go_through_the_model_and_every_sae_once(lm, times, tmp_path, monkeypatch):
    encoded: Counter[int] = Counter()
    encode = encoding.encode_tokens
    monkeypatch.setattr(
        encoding, "encode_tokens", lambda sae, x_ND: (encoded.update({id(sae): len(x_ND)}), encode(sae, x_ND))[1]
    )
    with forward_texts(lm) as texts:
        summary = run(plan(lm, tmp_path))
    assert len(summary.written) == 6
    assert set(texts.values()) == {1}, "no text runs twice"
    assert set(texts) <= distinct_texts(lm, tmp_path / "times")
    n_tokens = sum(map(len, texts))
    assert summary.n_tokens == n_tokens
    special = sum(i in lm.special_token_ids for ids in texts for i in ids)
    assert list(encoded.values()) == [n_tokens - special] * 2
    apart = sum(run(plan(lm, tmp_path / name, evals=(name,))).n_tokens for name in EVALS)
    assert n_tokens < 0.5 * apart


def test_more_seeds_run_no_more_texts(lm, times, tmp_path):
    one, three = (run(plan(lm, tmp_path / str(n), seeds=SEEDS[:n])).n_tokens for n in (1, 3))
    assert one == three


def test_a_run_that_was_cut_short_is_taken_up_again(lm, times, tmp_path):
    first = run(plan(lm, tmp_path))
    lost = tmp_path / "scr" / "tiny_b_eval_results.json"
    before = {path: read(path) for path in first.written}
    lost.unlink()
    second = run(plan(lm, tmp_path))
    assert (second.written, len(second.skipped)) == ([lost], 5)
    assert {path: read(path) for path in second.results} == before
    third = run(plan(lm, tmp_path))
    assert (third.written, third.n_tokens) == ([], 0)


@pytest.mark.parametrize("name", ["scr", "tpp"])
def test_headline_numbers_have_error_bars_over_seeds_and_texts(lm, times, tmp_path, name):
    content = json.loads(run(plan(lm, tmp_path, evals=(name,))).written[0].read_text())
    category, metrics = next(iter(content["eval_result_metrics"].items()))
    computed = [key for key in metrics if metrics[key] is not None and f"{category}.{key}" in content["statistics"]]
    assert len(computed) == len(TINY["n_values"])
    for key in computed:
        bar = content["statistics"][f"{category}.{key}"]
        assert (bar["unit"], bar["n_seeds"]) == ("test text", 3)
        assert bar["mean"] == pytest.approx(metrics[key], abs=1e-5)
        if bar["reason"] is None:
            assert bar["ci_low"] <= bar["mean"] <= bar["ci_high"]


# ---- texts drawn anew for every seed


@pytest.mark.parametrize("name", ["scr", "tpp"])
def test_every_seed_can_draw_texts_of_its_own(lm, times, tmp_path, name):
    with forward_texts(lm) as texts:
        summary = run(plan(lm, tmp_path / "drawn", evals=(name,), resample_data=True))
    assert set(texts.values()) == {1}, "a text that several draws share runs once"
    assert summary.n_tokens > run(plan(lm, tmp_path / "kept", evals=(name,))).n_tokens
    content = read(tmp_path / "drawn" / name / "tiny_a_eval_results.json")
    assert [row["seed"] for row in content["seed_results"]] == list(SEEDS)
    run(plan(lm, tmp_path / "alone", evals=(name,), resample_data=True, seeds=SEEDS[1:2]))
    alone = read(tmp_path / "alone" / name / "tiny_a_eval_results.json")
    assert alone["seed_results"][0] == content["seed_results"][1]


# ---- settings


def test_the_embedded_model_reads_embedded_texts():
    embedded = tiny_model("gpt2")
    embedded.name = "embedded"
    of = {name: planning.resolve_config(get_eval(name), preset="quick", overrides={}, lm=embedded) for name in EVALS}
    assert of["tpp"].dataset_names == of["sparse_probing"].dataset_names
    sizes = (of["sparse_probing"].probe_train_set_size, of["sparse_probing"].probe_test_set_size)
    assert (of["tpp"].train_set_size, of["tpp"].test_set_size) == sizes, "other sizes draw other texts"
    assert of["scr"].dataset_names == ["embedded/emotions_by_address"]
    assert (of["scr"].train_set_size, of["scr"].test_set_size) == (700, 176), "as many tweets as there are"
