"""Labels of synthetic samples say what is on, and probing, scr and tpp read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic_tiny import tiny_parameters

from sae_bench import evaluate
from sae_bench.custom_saes.oracle_sae import OracleSAE
from sae_bench.datasets import LabelledTexts
from sae_bench.errors import UnknownNameError, UsageError
from sae_bench.evals.families.synthetic_tasks import concepts, synthetic_sets
from sae_bench.evals.scr_and_tpp.eval_config import ScrEvalConfig
from sae_bench.evals.scr_and_tpp.synthetic_pairs import synthetic_pairs
from sae_bench.evals.scr_and_tpp.texts import QUADRANTS
from sae_bench.language_models.synthetic.model import SyntheticModel
from sae_bench.testing import tiny_model, tiny_sae

SIZES = {"train_size": 60, "test_size": 30}


@pytest.fixture(scope="module")
def lm() -> SyntheticModel:
    return SyntheticModel.of(tiny_parameters(smallest_probability=0.002))


def on_in(lm: SyntheticModel, texts: list[str]) -> Any:
    return lm.activity(torch.tensor([int(text) for text in texts])).toarray() > 0


def test_samples_of_a_concept_have_its_features_and_others_do_not(lm: SyntheticModel) -> None:
    sets = synthetic_sets(lm, ["synthetic/features:3", "synthetic/combinations:6"], **SIZES, seed=42)
    assert len(sets) >= 5
    for one in sets:
        name = one.name.split("/")[-1]
        rule = all if "_and_" in name else any
        features = [int(part) for part in name.replace("_and_", "_or_").split("_or_")]
        for split in (one.train, one.test):
            assert len(split["on"]) == len(split["off"]) > 0
            for label, expected in (("on", True), ("off", False)):
                assert all(rule(row[features]) == expected for row in on_in(lm, split[label]))
        assert not {*one.train["on"], *one.train["off"]} & {*one.test["on"], *one.test["off"]}


def test_of_siblings_one_alone_is_on(lm: SyntheticModel) -> None:
    for one in synthetic_sets(lm, ["synthetic/siblings"], **SIZES, seed=42):
        members = [int(name) for name in one.classes]
        for name, texts in one.train.items():
            on = on_in(lm, texts)
            assert on[:, int(name)].all()
            assert (on[:, members].sum(axis=1) == 1).all()


def test_quadrants_of_a_pair_are_what_is_on(lm: SyntheticModel) -> None:
    pairs, facts = synthetic_pairs("synthetic/pairs:2", ScrEvalConfig(train_set_size=80, test_set_size=20), lm)
    assert facts["pairs"] == str(len(pairs))
    tree = lm.features.hierarchy.tree_of(lm.n_features)
    for pair in pairs:
        target, spurious = map(int, pair.pair)
        assert tree[target] != tree[spurious]
        for split, size in ((pair.train, 20), (pair.test, 5)):
            assert [len(split[q]) for q in QUADRANTS] == [2 * size, size, size, 2 * size]
            for target_off, spurious_off in QUADRANTS:
                on = on_in(lm, split[target_off, spurious_off])
                assert (on[:, target] != bool(target_off)).all()
                assert (on[:, spurious] != bool(spurious_off)).all()


def test_concepts_are_the_same_for_all_seeds_and_samples_are_not(lm: SyntheticModel) -> None:
    first, second = (synthetic_sets(lm, ["synthetic/features:2"], **SIZES, seed=seed) for seed in (42, 43))
    assert [one.name for one in first] == [one.name for one in second]
    assert all(_texts(a).isdisjoint(_texts(b)) for a, b in zip(first, second, strict=True))
    assert concepts(lm, "features", 2) == concepts(lm, "features", None)[:2]


def _texts(one: LabelledTexts) -> set[str]:
    return {text for split in (one.train, one.test) for texts in split.values() for text in texts}


def test_wrong_names_are_refused(lm: SyntheticModel) -> None:
    with pytest.raises(UsageError, match="set of texts"):
        synthetic_sets(lm, ["embedded/ag_news"], **SIZES, seed=42)
    with pytest.raises(UnknownNameError, match="synthetic/features"):
        synthetic_sets(lm, ["synthetic/featurs"], **SIZES, seed=42)
    with pytest.raises(UsageError, match="1 or more"):
        synthetic_sets(lm, ["synthetic/features:0"], **SIZES, seed=42)


@pytest.mark.slow
def test_the_oracle_is_at_the_ceiling_of_all_that_reads_a_synthetic_model(lm: SyntheticModel, tmp_path: Path) -> None:
    oracle = OracleSAE(lm, "cpu", torch.float32)
    permuted = OracleSAE(lm, "cpu", torch.float32)
    order = torch.randperm(lm.n_features, generator=torch.Generator().manual_seed(0))
    permuted.W_dec.data.copy_(lm.features.directions_GD[order])
    sizes = {"train_set_size": 800, "test_set_size": 200, "n_values": [1, 2], "probe_epochs": 20}
    summary = evaluate(
        lm,
        {"oracle": oracle, "permuted": permuted, "mine": tiny_sae("topk")},
        ["ground_truth", "sparse_probing", "scr", "tpp"],
        preset=None,
        settings={
            "ground_truth": {"n_samples": 3000},
            "sparse_probing": {
                "dataset_names": ["synthetic/features:2"], "probe_train_set_size": 80, "probe_test_set_size": 40,
                "k_values": [1],
            },
            "scr": {**sizes, "train_set_size": 80, "test_set_size": 40, "dataset_names": ["synthetic/pairs:1"]},
            "tpp": {**sizes, "dataset_names": ["synthetic/siblings:1"]},
        },
        output_folder=tmp_path,
    )  # fmt: skip
    assert not summary.failures
    results = {
        path.parent.name + "/" + path.name.split("_")[0]: json.loads(path.read_text()) for path in summary.written
    }

    def recovered(name: str) -> dict[str, float]:
        return results[f"ground_truth/{name}"]["eval_result_metrics"]["recovery"]

    truth = recovered("oracle")
    for key in ("mcc", "uniqueness"):
        assert truth[key] == pytest.approx(1.0, abs=1e-6), key
    ever_on = [row for row in results["ground_truth/oracle"]["eval_result_details"] if row["feature_rate"] > 0]
    assert len(ever_on) > 60
    assert all(row["f1"] == 1.0 for row in ever_on)
    floor = results["ground_truth/permuted"]["validity"]["recovery.f1"]["floor"]["value"]
    assert recovered("permuted")["mcc"] == pytest.approx(1.0, abs=1e-6)  # the same rows
    assert recovered("permuted")["f1"] == pytest.approx(floor, abs=0.05)  # one row in 64 keeps its place by chance
    probing = {name: results[f"sparse_probing/{name}"]["eval_result_metrics"]["sae"] for name in ("oracle", "permuted")}
    assert probing["oracle"]["sae_top_1_test_accuracy"] == 1.0
    assert probing["permuted"] == probing["oracle"]
    tpp = {name: results[f"tpp/{name}"]["eval_result_metrics"]["tpp_metrics"] for name in ("oracle", "permuted")}
    assert tpp["oracle"]["tpp_threshold_1_total_metric"] > tpp["permuted"]["tpp_threshold_1_total_metric"] + 0.1


def test_the_oracle_knows_no_language_model_and_no_other_activations(lm: SyntheticModel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has given"):
        OracleSAE(lm, "cpu", torch.float32).encode(torch.ones(2, 32))
    summary = evaluate(
        tiny_model(), ["baseline:oracle"], "meta_structure", hook="blocks.1.hook_resid_post", output_folder=tmp_path,
        preset=None, settings={"meta_structure": {"train_steps": 1}},
    )  # fmt: skip
    assert "synthetic model" in summary.failures[0].message
