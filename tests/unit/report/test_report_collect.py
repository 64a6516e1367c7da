"""Results of several sources as one table; what does not compare is kept apart."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from sae_bench.errors import PrerequisiteError, ResultError
from sae_bench.report.collect import L0, Collected, collect
from sae_bench.report.fronts import pareto_front
from sae_bench.report.payload import page_data
from sae_bench.report.sources import load_sources, locate
from sae_bench.testing.synthetic_results import SPARSITIES, synthetic_saes, write_synthetic_results

sys.path.insert(0, str(Path(__file__).parents[1] / "results"))
from written_results import published


def test_every_headline_metric_with_its_error_bar(collected: Collected):
    assert [group.name for group in collected.evals] == ["core", "sparse_probing"]
    assert len(collected.saes) == 8
    headline = [metric for metric in collected.metrics if metric.headline]
    assert {metric.better for metric in headline} == {0, 1}
    top_1 = collected.metric("sparse_probing|sae.sae_top_1_test_accuracy")
    assert top_1 is not None
    assert (top_1.title, top_1.chance, top_1.better) == ("Top-1 accuracy", 0.5, 1)
    assert "linear probe" in top_1.description
    values = collected.values[top_1.key]
    for value, low, high, seeds in zip(values.value, values.low, values.high, values.n_seeds, strict=True):
        assert low < value < high
        assert seeds == 3
    expected = {sae.sae_id: sae.l0 for sae in synthetic_saes(8)}
    for sae, l0 in zip(collected.saes, collected.values_of(L0), strict=True):
        assert l0 == pytest.approx(expected[sae.sae_id], rel=0.02)
    assert collected.values_of("sae|width")[0] in (4096, 16384)
    assert len(SPARSITIES) == 7


def test_generations_of_absorption_files_say_which_fraction_each_holds(tmp_path: Path):
    absorption = "absorption_first_letter"
    fraction = {"mean": {"mean_absorption_fraction_score": 0.3, "mean_full_absorption_score": 0.1}}
    published(tmp_path, "1st", {"mean": {"mean_absorption_score": 0.2}}, eval_name=absorption)
    published(tmp_path, "2nd", fraction, eval_name=absorption)
    newest = published(tmp_path, "3rd", fraction, eval_name=absorption)
    newest.write_text(newest.read_text().replace('"context_size": 128', '"min_GT_probe_f1": 0.6'))
    data = page_data(collect(load_sources(tmp_path)))
    assert [sae["id"] for sae in data["saes"]] == ["1st", "2nd", "3rd"]
    shown = {metric["title"]: data["values"][metric["key"]]["v"] for metric in data["metrics"]}
    assert shown == {
        "Full absorption": [0.2, 0.1, 0.1],
        "Absorption fraction": [None, 0.3, None],
        "Absorption fraction, thresholded": [None, None, 0.3],
    }
    cohorts = data["evals"][0]["cohorts"]
    assert [cohort["members"] for cohort in cohorts] == [[0], [1], [2]]
    assert [re.search(r"\((.+?)\)", cohort["title"])[1] for cohort in cohorts] == [
        "0.1 or 0.2",
        "up to 0.4.0",
        "0.4.1 or later",
    ]
    notes = [note["value"][1] for note in data["run"]["sources"][0]["moved"]]
    assert any("hold no absorption fraction" in note for note in notes)
    assert any("the thresholded one there" in note for note in notes)


def test_results_that_do_not_compare_form_groups_of_their_own(synthetic: Path, tmp_path: Path):
    write_synthetic_results(tmp_path / "other", 2, evals=("core",), n_units=24, n_latents=5)
    for path in (tmp_path / "other" / "core").glob("*.json"):
        content = json.loads(path.read_text())
        content["eval_config"]["context_size"] = 1024
        path.write_text(json.dumps(content))
    for path in (synthetic / "core").glob("*.json"):
        assert "context_size" not in json.loads(path.read_text())["eval_config"]
    published(tmp_path / "published", "x", {"sparsity": {"l0": 30.0}, "reconstruction_quality": {"cossim": 0.9}})
    both = collect(load_sources(synthetic, [tmp_path / "other", tmp_path / "published"]))
    core = both.evals[0]
    assert [len(cohort.members) for cohort in core.cohorts] == [10, 1]  # a setting that one file lacks is no difference
    assert "definition is recorded for one only" in core.cohorts[1].differs
    assert core.cohorts[0].differs is None
    assert both.cohort_of("core")[10] == 1
    names = [sae.name for sae in both.saes]
    assert len(names) == 11
    assert len(set(names)) == 9  # two SAEs are in two sources, and stay two


def test_other_models_hooks_and_forms_are_apart(tmp_path: Path):
    metrics = {"sparsity": {"l0": 30.0}}
    for sae, changes in {
        "a": {},
        "b": {"eval_config": {"model_name": "gemma-2-2b", "context_size": 128}},
        "c": {"sae_cfg_dict": {"hook_name": "blocks.3.hook_resid_post"}},
        "d": {"sae_cfg_dict": {"hook_name": "blocks.4.hook_resid_post"}},
        "e": {"eval_config": {"model_name": "EleutherAI/pythia", "context_size": 128}},
    }.items():
        path = published(tmp_path, sae, metrics)
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    cohorts = collect(load_sources(tmp_path)).evals[0].cohorts
    reasons = [cohort.differs for cohort in cohorts[1:]]
    assert len(cohorts) == 3
    assert any("different models" in reason for reason in reasons)
    assert any("different hooks" in reason for reason in reasons)


def test_sources(synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    twice = load_sources(synthetic, [synthetic, synthetic])
    assert [source.label for source in twice] == ["mine", "mine (2)", "mine (3)"]
    assert [source.is_own for source in twice] == [True, False, False]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ResultError, match=r"'nowhere' does not exist.*hub data set such as"):
        load_sources(synthetic, ["nowhere"])
    with pytest.raises(PrerequisiteError, match=r"HF_HUB_OFFLINE is set.*copy its JSON files"):
        locate("adamkarvonen/sae_bench_results_0125")


def test_a_hub_data_set_in_the_local_cache(synthetic: Path, monkeypatch: pytest.MonkeyPatch):
    asked = {}

    def snapshot(name: str, **options: object) -> str:
        asked.update(options, name=name)
        return str(synthetic)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    (source,) = load_sources("someone/their_results")
    assert source.label == "someone/their_results"
    assert len(source.table.saes()) == 8
    assert asked == {"name": "someone/their_results", "repo_type": "dataset", "allow_patterns": "*.json",
                     "local_files_only": True}  # fmt: skip


def test_pareto_fronts():
    points = [(10.0, 0.5, 0), (20.0, 0.7, 1), (30.0, 0.6, 2), (40.0, 0.9, 3), (40.0, 0.8, 4), (9.0, 0.4, 5)]
    assert pareto_front(points, x_better=-1, y_better=1) == [5, 0, 1, 3]
    assert pareto_front(points, x_better=1, y_better=1) == [3]
    assert pareto_front(points, x_better=-1, y_better=-1) == [5]
    assert pareto_front([], x_better=1, y_better=1) == []
