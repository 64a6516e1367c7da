"""What `compare` and `rank` say of results in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from written_results import TOP_1, published, write

from sae_bench.analysis.comparison import compare, rank
from sae_bench.analysis.verdicts import default_target, number
from sae_bench.errors import UsageError
from sae_bench.results.samples import Samples
from sae_bench.testing.simulated_samples import Design, simulate

DESIGN = Design(n_units=200, text=0.3, cell=0.05, seed=0.002, shared=1.0)
OLD_BAR = {
    "mean": 0.8, "std_over_seeds": 0.0, "ci_low": 0.8, "ci_high": 0.8, "n_seeds": 3, "n_units": 200, "method": "first",
}  # fmt: skip
MEANS = {"best": 0.85, "good": 0.80, "twin": 0.80, "bad": 0.60}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four SAEs, two of them alike."""
    rng = np.random.default_rng(0)
    text_U = rng.standard_normal(DESIGN.n_units)
    for sae, mean in MEANS.items():
        write(tmp_path, sae, simulate(DESIGN, rng, text_U, mean=mean))
    return tmp_path


def test_a_pair(folder: Path):
    found = compare(folder, a="best", b="bad")
    (pair,) = found.pairs
    assert (pair.eval, pair.metric, pair.a, pair.b) == ("sparse_probing", TOP_1, "tiny:best", "tiny:bad")
    assert pair.verdict == "better"
    assert pair.sentence.startswith("tiny:best is better by 0.2")
    assert pair.p_value == pair.p_adjusted < 0.001
    assert pair.p_permutation < 0.001
    assert pair.ci_low < pair.difference < pair.ci_high
    assert pair.paired_seeds
    assert pair.paired_units
    assert (pair.n_seeds, pair.n_units) == (3, 200)
    (turned,) = compare(folder, a="bad", b="best").pairs
    assert turned.verdict == "worse"
    assert turned.sentence == pair.sentence


def test_inside_the_noise_says_what_it_takes(folder: Path):
    (pair,) = compare(folder, a="good", b="twin", detect=0.004).pairs
    assert pair.verdict == "inside the noise"
    assert pair.more_seeds >= 1
    assert pair.sentence == f"inside the noise: {pair.more_seeds} more seeds would detect 0.004"
    (coarse,) = compare(folder, a="good", b="twin", detect=0.1).pairs
    assert coarse.sentence == "inside the noise: at least 80 % of such runs would find a difference of 0.1"
    assert coarse.detectable_low < coarse.detectable < coarse.detectable_high <= 0.1
    assert coarse.more_seeds == 0


def test_no_detectable_difference_is_larger_than_the_metric_allows(tmp_path: Path):
    rng = np.random.default_rng(0)
    noisy = Design(n_seeds=2, n_units=12, n_strata=1, values="right or wrong", mean=0.5, seed=0.3)
    for sae in ("a", "b", "c", "d"):
        write(tmp_path, sae, simulate(noisy, rng, rng.standard_normal(12), mean=0.5))
    found = compare(tmp_path, baseline="a")
    assert all(0 < p.detectable_low <= p.detectable <= p.detectable_high <= 1.0 for p in found.pairs)
    assert any(p.detectable_low == 1.0 for p in found.pairs)  # not even all right against all wrong would be found
    assert all(-1.0 <= p.ci_low < p.ci_high <= 1.0 for p in found.pairs)


def test_an_interval_that_allows_for_more_comparisons_is_wider(folder: Path):
    alone = compare(folder, a="twin", b="good").pairs[0]
    among = next(pair for pair in compare(folder, baseline="good").pairs if pair.a == "tiny:twin")
    assert (alone.n_comparisons, among.n_comparisons) == (1, 3)
    assert among.ci_low < alone.ci_low < alone.ci_high < among.ci_high
    for pair in compare(folder, baseline="good").pairs:
        assert (pair.ci_low <= 0 <= pair.ci_high) == (pair.verdict == "inside the noise") == (pair.p_adjusted > 0.05)


def test_all_against_a_baseline_are_corrected_for_their_number(folder: Path):
    found = compare(folder, baseline="good")
    assert [pair.a for pair in found.pairs] == ["tiny:bad", "tiny:best", "tiny:twin"]
    assert {pair.b for pair in found.pairs} == {"tiny:good"}
    verdicts = {pair.a: pair.verdict for pair in found.pairs}
    assert verdicts == {"tiny:bad": "worse", "tiny:best": "better", "tiny:twin": "inside the noise"}
    assert min(pair.p_adjusted / pair.p_value for pair in found.pairs if pair.p_value > 0) >= 1.0
    alone = compare(folder, a="best", b="good").pairs[0]
    among = next(pair for pair in found.pairs if pair.a == "tiny:best")
    assert among.p_adjusted > alone.p_adjusted
    assert among.detectable > alone.detectable
    per_metric = compare(folder, baseline="good", family="metric")
    assert [p.p_adjusted for p in per_metric.pairs] == [p.p_adjusted for p in found.pairs]  # there is one metric


def test_ranks(folder: Path):
    (ranking,) = rank(folder).rankings
    assert [(row.sae, row.rank) for row in ranking.saes][:1] == [("tiny:best", 1)]
    assert [row.sae for row in ranking.saes if row.could_be_best] == ["tiny:best"]
    assert ranking.saes[-1].sae == "tiny:bad"
    assert all((row.behind_low > 0) != row.could_be_best and row.compared for row in ranking.saes)
    bad = ranking.saes[-1]
    assert 0 < bad.behind_low < 0.25 < bad.behind_high
    assert ranking.sentence.startswith("tiny:best is the best")


def test_one_seed_has_no_error_bar(tmp_path: Path):
    rng = np.random.default_rng(0)
    one = Design(n_seeds=1)
    for sae in ("a", "b"):
        write(tmp_path, sae, simulate(one, rng, rng.standard_normal(one.n_units), mean=0.8))
    (pair,) = compare(tmp_path, a="a", b="b").pairs
    assert pair.verdict == "no error bar"
    assert "one seed: no error bar" in pair.sentence
    assert pair.p_value is pair.p_adjusted is pair.detectable is None
    (ranking,) = rank(tmp_path).rankings
    assert all(row.could_be_best for row in ranking.saes)
    assert not any(row.compared for row in ranking.saes)
    assert ranking.sentence.endswith("which is the best cannot be told")


def test_published_results_are_compared_without_an_error_bar(tmp_path: Path):
    published(tmp_path, "x", {"sparsity": {"l0": 40.0}})
    published(tmp_path, "y", {"sparsity": {"l0": 50.0}})
    (pair,) = compare(tmp_path, a="x", b="y").pairs
    assert (pair.verdict, pair.difference) == ("no error bar", -10.0)
    assert "no error bar; the difference is -10" in pair.sentence


def test_what_no_seed_changes_asks_for_texts(tmp_path: Path):
    rng = np.random.default_rng(0)
    for sae in ("a", "b"):
        values = torch.from_numpy(40 + rng.standard_normal((1, 30)))
        rows = Samples.of_equal_units(values, unit="block of 4 rows", key="k", random=False)
        write(tmp_path, sae, rows, eval_name="core", path="sparsity.l0", seed_results=[])
    (pair,) = compare(tmp_path, a="a", b="b", detect=0.1).pairs
    assert pair.verdict == "inside the noise"
    assert "times as many texts would detect 0.1" in pair.sentence
    assert pair.sentence.endswith("no seed changes this metric")
    (pair,) = compare(tmp_path, a="a", b="b", detect=1e-4).pairs
    assert "over 1000 times as many texts would detect 0.0001, " in pair.sentence
    assert f" times as many texts {number(abs(pair.difference))}, the size seen;" in pair.sentence
    assert rank(tmp_path).rankings == []  # neither direction of L0 is better


def test_other_settings_models_and_definitions_are_not_compared(folder: Path):
    rng = np.random.default_rng(3)
    samples = simulate(DESIGN, rng, rng.standard_normal(DESIGN.n_units), mean=0.8)
    write(folder, "settings", samples, eval_config={"random_seed": 1, "k_values": [1, 5]})
    write(folder, "model", samples, provenance={"seeds": [42, 43, 44], "model_fingerprint": "another"})
    write(folder, "protocol", samples, provenance={"seeds": [42, 43, 44], "protocol": "sparse_probing-0"})
    for sae, why in (("settings", "k_values"), ("model", "different models"), ("protocol", "different definitions")):
        with pytest.raises(UsageError, match=why):
            compare(folder, a="good", b=sae)
    found = compare(folder, baseline="good")
    assert len(found.pairs) == 3
    assert len(found.notes) == 3
    apart = rank(folder)
    assert {row.sae for row in apart.rankings[0].saes} == {f"tiny:{sae}" for sae in MEANS}
    assert all("not ranked" in note or "ranked apart" in note for note in apart.notes)
    assert all(any(sae in note for note in apart.notes) for sae in ("tiny:settings", "tiny:model", "tiny:protocol"))


def test_results_of_other_tokens_of_one_model_are_not_compared(folder: Path):
    rng = np.random.default_rng(3)
    samples = simulate(DESIGN, rng, rng.standard_normal(DESIGN.n_units), mean=0.8)
    read = {"seeds": [42, 43, 44], "model": "tiny", "model_fingerprint": "another", "seqpos_slice": [1, None, 1]}
    write(folder, "positions", samples, provenance=read)
    with pytest.raises(UsageError, match=r"read in different ways \(seqpos_slice: None, \[1, None, 1\]\)"):
        compare(folder, a="good", b="positions")


def test_one_definition_of_comparable_for_pairs_and_ranks(tmp_path: Path):
    """SAEs of other hooks are ranked apart, and which result comes first makes no difference."""
    rng = np.random.default_rng(0)
    text_U = rng.standard_normal(DESIGN.n_units)
    hooks = {"a0": 3, "b0": 5, "b1": 5, "a1": 3, "b2": 5}
    for sae, layer in hooks.items():
        config = {"sae_cfg_dict": {"hook_name": f"blocks.{layer}.hook_resid_post"}}
        write(tmp_path, sae, simulate(DESIGN, rng, text_U, mean=0.8), **config)
    found = rank(tmp_path)
    ranked = [{row.sae for row in ranking.saes} for ranking in found.rankings]
    assert ranked == [{"tiny:b0", "tiny:b1", "tiny:b2"}, {"tiny:a0", "tiny:a1"}]
    assert all("hook_resid_post" in ranking.group for ranking in found.rankings)
    assert any("different hooks" in note for note in found.notes)
    with pytest.raises(UsageError, match="different hooks"):
        compare(tmp_path, a="a0", b="b0")


def test_a_transcoder_compares_with_saes_of_what_it_predicts(tmp_path: Path):
    rng = np.random.default_rng(0)
    text_U = rng.standard_normal(DESIGN.n_units)
    read, predicted = "blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out"
    configs = {
        "a": {"hook_name": predicted},
        "b": {"hook_name": read, "hook_name_out": predicted},
        "c": {"hook_name": read},
        "d": {"hook_name": read, "hook_name_out": read},
    }
    for sae, config in configs.items():
        write(tmp_path, sae, simulate(DESIGN, rng, text_U, mean=0.8), sae_cfg_dict=config)
    rankings = rank(tmp_path).rankings
    assert [{row.sae for row in ranking.saes} for ranking in rankings] == [
        {"tiny:a", "tiny:b"}, {"tiny:c", "tiny:d"}
    ]  # fmt: skip
    assert {predicted in ranking.group for ranking in rankings} == {True, False}
    with pytest.raises(UsageError, match=f"different hooks .*{read} -> {predicted}"):
        compare(tmp_path, a="b", b="c")


def test_verdicts_say_what_they_take_as_given(folder: Path):
    (pair,) = compare(folder, a="best", b="bad").pairs
    assert pair.given == "these training texts"
    assert pair.sentence.endswith(", given these training texts")
    (ranking,) = rank(folder).rankings
    assert ranking.given == pair.given


def test_bars_of_an_older_version_are_computed_anew(folder: Path):
    path = next((folder / "sparse_probing").glob("*best*.json"))
    content = json.loads(path.read_text())
    content["statistics"] = {TOP_1: OLD_BAR}
    path.write_text(json.dumps(content))
    (ranking,) = rank(folder).rankings
    assert ranking.saes[0].ci_low < ranking.saes[0].value < ranking.saes[0].ci_high


def test_other_random_seeds_are_no_other_settings(folder: Path):
    rng = np.random.default_rng(3)
    text_U = rng.standard_normal(DESIGN.n_units)
    write(folder, "later", simulate(DESIGN, rng, text_U, mean=0.8), first_seed=7)
    (pair,) = compare(folder, a="good", b="later").pairs
    assert not pair.paired_seeds
    assert any("not the same seeds" in note for note in pair.notes)


def test_what_could_not_be_used_is_said(folder: Path):
    (folder / "sparse_probing" / "cut.json").write_text('{"eval_type_id": "spa')
    sample = folder / "sparse_probing" / "samples" / "tiny_bad.safetensors"
    sample.write_bytes(sample.read_bytes()[:100])
    found = compare(folder, a="good", b="bad")
    assert "cut off" in found.skipped[str(folder / "sparse_probing" / "cut.json")]
    assert any("tiny_bad.safetensors" in note for note in found.notes)
    (pair,) = found.pairs
    assert pair.verdict == "worse" or pair.verdict == "better" or pair.verdict == "inside the noise"
    assert any("were not kept" in note for note in pair.notes)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "name two SAEs"),
        ({"a": "best"}, "name two SAEs"),
        ({"a": "best", "b": "bad", "baseline": "good"}, "name two SAEs"),
        ({"a": "best", "b": "best"}, "the same SAE"),
        ({"a": "best", "b": "worst"}, "unknown SAE 'worst'"),
        ({"a": "best", "b": "bad", "alpha": 5.0}, "alpha is a probability"),
        ({"a": "best", "b": "bad", "detect": -1.0}, "above 0"),
        ({"a": "best", "b": "bad", "metrics": ["nothing"]}, "nothing to compare"),
    ],
)
def test_wrong_requests(folder: Path, asked: dict, message: str):
    with pytest.raises(UsageError, match=message):
        compare(folder, **asked)


def test_as_json_and_as_a_table(folder: Path):
    found = compare(folder, baseline="good")
    assert type(found).model_validate_json(found.model_dump_json()) == found
    frame = found.to_frame()
    assert list(frame["verdict"]) == [pair.verdict for pair in found.pairs]


def test_targets_and_numbers():
    assert default_target(0.8, 0.7) == 0.01
    assert default_target(43.0, 40.0) == pytest.approx(0.4)
    assert default_target(-1234.0, 3.0) == pytest.approx(10.0)
    shown = {0.0: "0", 0.0123456: "0.012", -0.00421: "-0.0042", 12.34: "12.3", 0.1: "0.1", 0.00001: "1e-05"}
    assert {value: number(value) for value in shown} == shown
