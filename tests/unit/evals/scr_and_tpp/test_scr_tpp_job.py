"""scr and tpp as evals: against the plain computation from texts to scores, through the runner, as a command."""

import inspect
import json

import click
import pytest
import torch
from scr_tpp_plain import PerTokenScaleSAE, ablated, rank, token_activations, train_probe
from scr_tpp_settings import TINY
from tiny_run_fixtures import chosen_by_command
from tiny_runs import HOOK, handle, read

from sae_bench.activations.one_pass import run_pass
from sae_bench.custom_saes.loading import Member
from sae_bench.errors import UsageError
from sae_bench.evals.base import EvalContext
from sae_bench.evals.scr_and_tpp import main, scr, tpp
from sae_bench.evals.scr_and_tpp.eval_config import ScrAndTppEvalConfig, ScrEvalConfig, TppEvalConfig
from sae_bench.evals.scr_and_tpp.evaluate import AUDIT, ScrJob, TppJob
from sae_bench.evals.scr_and_tpp.spec import SCR_SPEC, SPECS, TPP_SPEC
from sae_bench.run.planning import load_context, make_config
from sae_bench.run.runner import EvalRequest, RunPlan, run
from sae_bench.testing.tiny_models import tiny_sae

pytestmark = pytest.mark.slow

SEEDS = (42, 43)


def scored(lm, spec, sae, seeds=SEEDS, *, controls=True, **changes):
    job = spec.start(EvalContext(lm, (HOOK,), seeds, controls=controls), make_config(spec, {**TINY, **changes}))
    member = Member("tiny", "sae", sae, HOOK)
    report = run_pass(lm, job.requests([member]), [member])
    assert not report.failed
    return job, job.score(member, report.served)


def plain_accuracy(probe, x_TD, labels):
    return ((probe(x_TD)[:, 0] > 0) == labels).double().mean().item()


# ---- the whole evals, the plain way


@pytest.mark.parametrize("sae", [tiny_sae("jumprelu"), PerTokenScaleSAE(tiny_sae("relu"))])
def test_scr_is_the_plain_computation(lm, times, sae):
    job, scores = scored(lm, SCR_SPEC, sae)
    tokens = token_activations(lm, HOOK, job.token_ids)
    x_TD = torch.stack([x_LD.mean(dim=0) for x_LD in tokens])
    for pair in job.pairs:
        for seed in SEEDS:
            probes = {c: train_probe(x_TD, scr.probe_problem(pair, c, seed), job.probe_settings) for c in scr.CONCEPTS}
            rows = scr.balanced(pair.test)
            found = scores.unstructured[f"{pair.name}_results"][str(seed)]
            for direction, (removed, asked) in scr.DIRECTIONS.items():
                labels = scr.balanced_labels(len(rows), asked)
                of = found[f"dir{direction}"]
                assert of["clean_accuracy"] == plain_accuracy(probes[asked], x_TD[rows], labels)
                assert of["original_accuracy"] == plain_accuracy(probes["biased"], x_TD[rows], labels)
                latents = rank(sae, tokens, *scr.rows_of(pair.train, removed), probes[removed], signed=False)
                for n in TINY["n_values"]:
                    x_UD = torch.stack([ablated(sae, tokens[row], latents[:n]) for row in rows.tolist()])
                    assert of["changed_accuracy"][str(n)] == plain_accuracy(probes["biased"], x_UD, labels)


@pytest.mark.parametrize("sae", [tiny_sae("topk")])
def test_tpp_is_the_plain_computation(lm, words, sae):
    job, scores = scored(lm, TPP_SPEC, sae, dataset_names=["tiny/words"], train_set_size=16, test_set_size=8)
    tokens = token_activations(lm, HOOK, job.token_ids)
    x_TD = torch.stack([x_LD.mean(dim=0) for x_LD in tokens])
    (dataset,) = job.pooled
    rows = torch.cat([dataset.test_rows[name] for name in dataset.classes])
    totals = {n: [] for n in TINY["n_values"]}
    for seed in SEEDS:
        probes = [
            train_probe(x_TD, tpp.probe_problem(dataset, name, seed), job.probe_settings) for name in dataset.classes
        ]
        measured = [tpp.measuring_draw(dataset, name, seed) for name in dataset.classes]
        for c, name in enumerate(dataset.classes):
            contrast = tpp.ranking_contrast(dataset, name, seed)
            latents = rank(sae, tokens, contrast.positive_rows, contrast.negative_rows, probes[c], signed=True)
            for n in totals:
                drops = []
                for probe, (places, labels) in zip(probes, measured, strict=True):
                    chosen = rows[places]
                    x_UD = torch.stack([ablated(sae, tokens[row], latents[:n]) for row in chosen.tolist()])
                    before = plain_accuracy(probe, x_TD[chosen], labels > 0)
                    drops.append(before - plain_accuracy(probe, x_UD, labels > 0))
                totals[n].append(drops[c] - (sum(drops) - drops[c]) / (len(drops) - 1))
    for n, values in totals.items():
        found = getattr(scores.metrics.tpp_metrics, f"tpp_threshold_{n}_total_metric")
        assert found == pytest.approx(sum(values) / len(values), abs=1e-12)


def test_probes_trained_in_one_loop_are_those_of_torch_one_at_a_time(lm, times):
    job, _ = scored(lm, SCR_SPEC, tiny_sae("topk"))
    member = Member("tiny", "sae", tiny_sae("topk"), HOOK)
    (pooled,) = run_pass(lm, job.requests([member]), [member]).served
    x_TD = pooled.activations[HOOK]
    prepared = scr.prepare_scr(job.pairs, x_TD, seeds=SEEDS, settings=job.probe_settings)
    problems = [scr.probe_problem(pair, c, seed) for pair in job.pairs for seed in SEEDS for c in scr.CONCEPTS]
    assert len(problems) == len(prepared.probes.bias_P) == 12
    for problem, weights_D, bias in zip(problems, prepared.probes.weights_PF, prepared.probes.bias_P, strict=True):
        expected_T = train_probe(x_TD, problem, job.probe_settings)(x_TD)[:, 0]
        torch.testing.assert_close(x_TD @ weights_D + bias, expected_T, atol=1e-4, rtol=0)


# ---- as evals


def plan(lm, spec, handles, out, *, seeds=SEEDS, **changes):
    config = make_config(spec, {**TINY, "model_name": lm.name, **changes})
    return RunPlan(lm, [EvalRequest(spec, config)], handles, out, load_context(lm), seeds=seeds)


@pytest.mark.parametrize("spec", [SCR_SPEC, TPP_SPEC])
def test_results_do_not_depend_on_the_order_of_saes(lm, times, tmp_path, spec):
    saes = [handle("a", "topk"), handle("b", "relu", seed=1)]
    for name, order in (("first", saes), ("second", saes[::-1])):
        summary = run(plan(lm, spec, order, tmp_path / name))
        assert not summary.failures
    for sae in "ab":
        path = f"{spec.name}/tiny_{sae}_eval_results.json"
        assert read(tmp_path / "first" / path) == read(tmp_path / "second" / path)


@pytest.mark.parametrize("spec", [SCR_SPEC, TPP_SPEC])
def test_published_fields_are_means_over_seeds(lm, times, tmp_path, spec):
    run(plan(lm, spec, [handle("a", "topk")], tmp_path))
    content = read(tmp_path / spec.name / "tiny_a_eval_results.json")
    assert content["eval_type_id"] == spec.name
    assert AUDIT in content["provenance"]["warnings"]
    assert any("best test accuracy" in warning for warning in content["provenance"]["warnings"])
    category, metrics = next(iter(content["eval_result_metrics"].items()))
    for n in TINY["n_values"]:
        key = f"scr_dir1_threshold_{n}" if spec is SCR_SPEC else f"tpp_threshold_{n}_intended_diff_only"
        values = [row["metrics"][f"{category}.{key}"] for row in content["seed_results"]]
        assert metrics[key] == pytest.approx(sum(values) / 2)
    one = read_one(lm, tmp_path / "one", spec, seeds=(43,))
    assert one["seed_results"][0] == content["seed_results"][1]  # a seed does not depend on the others


def read_one(lm, out, spec, **changes):
    run(plan(lm, spec, [handle("a", "topk")], out, **changes))
    return read(out / spec.name / "tiny_a_eval_results.json")


def test_details_name_pairs_with_denominators_and_sets(lm, times, tmp_path):
    content = read_one(lm, tmp_path, SCR_SPEC)
    assert [row["dataset_name"] for row in content["eval_result_details"]] == [
        "tiny/times_scr_river_code_results",
        "tiny/times_scr_food_code_results",
    ]
    for row in content["eval_result_details"]:
        for d in (1, 2):
            lost = row[f"scr_dir{d}_clean_accuracy"] - row[f"scr_dir{d}_original_accuracy"]
            assert row[f"scr_dir{d}_denominator"] == pytest.approx(lost)
    (row,) = read_one(lm, tmp_path, TPP_SPEC)["eval_result_details"]
    assert row["dataset_name"] == "tiny/times_tpp_results"


def test_every_distinct_text_runs_once_and_seeds_share_texts(lm, times):
    counts = {}
    for seeds in ((1,), (1, 2, 3)):
        job = ScrJob(EvalContext(lm, (HOOK,), seeds), make_config(SCR_SPEC, TINY))
        counts[seeds] = len(job.token_ids)
        report = run_pass(lm, job.requests([]), [])
        assert report.n_texts == 0  # nothing to encode
    assert counts[1,] == counts[1, 2, 3] == 2 * (6 * 6 + 6 * 3)  # the published code runs 12 instead of 6 quarters


def test_tpp_asks_for_the_texts_of_sparse_probing(lm, times):
    from sae_bench.evals.sparse_probing.evaluate import SparseProbingJob
    from sae_bench.evals.sparse_probing.spec import SPEC

    context = EvalContext(lm, (HOOK,), SEEDS)
    job = TppJob(context, make_config(TPP_SPEC, TINY))
    settings = {"probe_train_set_size": 24, "probe_test_set_size": 12, "context_length": 16}
    probing = SparseProbingJob(context, make_config(SPEC, {"dataset_names": ["tiny/times"], **settings}))
    assert sorted(job.token_ids) == sorted(probing.token_ids)
    member = Member("tiny", "sae", tiny_sae("topk"), HOOK)
    report = run_pass(lm, [*job.requests([member]), *probing.requests([member])], [member])
    assert report.n_texts == len({tuple(ids) for ids in job.token_ids})


def test_more_latents_than_there_are_give_null_and_a_reason(lm, times):
    for spec in (SCR_SPEC, TPP_SPEC):
        _, scores = scored(lm, spec, tiny_sae("topk"), n_values=[2, 500])
        metrics = next(iter(scores.metrics.model_dump().values()))
        key = next(key for key in metrics if "threshold_500" in key)
        assert metrics[key] is None
        assert any("500 is more than the 64 latents" in reason for reason in scores.not_computed.values())
        with pytest.raises(UsageError, match="all above the 64 latents"):
            scored(lm, spec, tiny_sae("topk"), n_values=[500])


def test_an_sae_without_active_latents_scores_zero(lm, times):
    _, scores = scored(lm, TPP_SPEC, tiny_sae("zero"))
    assert scores.metrics.tpp_metrics.tpp_threshold_1_total_metric == 0.0
    assert any("fewer than 16 latents have an effect" in warning for warning in scores.warnings)


@pytest.mark.parametrize("spec", [SCR_SPEC, TPP_SPEC])
def test_controls_change_no_score_and_can_be_left_out(lm, times, spec):
    _, with_controls = scored(lm, spec, tiny_sae("topk"))
    _, without = scored(lm, spec, tiny_sae("topk"), controls=False)
    assert with_controls.metrics == without.metrics
    assert with_controls.references.keys() == with_controls.samples.keys() == without.references.keys()
    for path, samples in with_controls.samples.items():
        beside, also_without = with_controls.references[path], without.references[path]
        assert also_without.control is None
        same = {"rtol": 0, "atol": 0, "equal_nan": True}
        torch.testing.assert_close(samples.values_SU, without.samples[path].values_SU, **same)
        torch.testing.assert_close(beside.ceiling.measured.values_SU, also_without.ceiling.measured.values_SU, **same)
        assert beside.ceiling.measured.key == beside.control.measured.key == samples.key


def test_a_decoder_that_is_not_linear_has_no_control(lm, times):
    _, scores = scored(lm, TPP_SPEC, PerTokenScaleSAE(tiny_sae("relu")), n_values=[1])
    (beside,) = scores.references.values()
    assert beside.control.measured is None
    assert "not linear" in beside.control.reason
    assert beside.ceiling.measured is not None


@pytest.mark.parametrize("selection", ["test", "validation"])
def test_the_epoch_can_be_chosen_on_held_out_training_texts(lm, times, selection):
    _, scores = scored(lm, TPP_SPEC, tiny_sae("topk"), probe_selection=selection)
    assert any("best test accuracy" in warning for warning in scores.warnings) == (selection == "test")


def test_no_seed_is_refused(lm, times):
    with pytest.raises(UsageError, match="seeds must be"):
        ScrJob(EvalContext(lm, (HOOK,), ()), make_config(SCR_SPEC, TINY))


# ---- published entry points


def test_run_eval_takes_the_shared_config_and_writes_into_the_eval_folder(lm, times, tmp_path):
    lm.model.save_pretrained(tmp_path / "model")
    lm.tokenizer.save_pretrained(tmp_path / "model")
    for perform_scr, name in ((True, "scr"), (False, "tpp")):
        config = ScrAndTppEvalConfig(**TINY, perform_scr=perform_scr, model_name=str(tmp_path / "model"))
        results = main.run_eval(config, [("mine", tiny_sae("topk"))], "cpu", tmp_path / "out")
        assert results["mine_custom_sae"]["eval_config"]["perform_scr"] is perform_scr
        assert (tmp_path / "out" / name / "mine_custom_sae_eval_results.json").is_file()
        values, unstructured = main.run_eval_single_sae(config, tiny_sae("topk"), lm, "cpu", tmp_path)
        expected = next(iter(results["mine_custom_sae"]["eval_result_metrics"].values()))
        assert values.items() >= {k: v for k, v in expected.items() if v is not None}.items()
        assert unstructured == results["mine_custom_sae"]["eval_result_unstructured"]


def test_published_arguments_are_there():
    assert list(inspect.signature(main.run_eval).parameters) == [
        "config", "selected_saes", "device", "output_path", "force_rerun", "clean_up_activations", "save_activations",
        "artifacts_path",
    ]  # fmt: skip
    assert list(inspect.signature(main.run_eval_single_sae).parameters) == [
        "config", "sae", "model", "device", "artifacts_folder", "save_activations",
    ]  # fmt: skip
    flags = {option for param in main.command.params for option in param.opts}
    published = (
        "random_seed model_name sae_regex_pattern sae_block_pattern output_folder artifacts_path force_rerun "
        "clean_up_activations save_activations perform_scr llm_batch_size llm_dtype sae_batch_size lower_vram_usage"
    )
    assert {f"--{name}" for name in published.split()} <= flags


@pytest.mark.parametrize(("value", "name"), [("true", "scr"), ("False", "tpp")])
def test_the_command_chooses_by_perform_scr(value, name, tmp_path, monkeypatch):
    chosen = chosen_by_command(monkeypatch)
    arguments = ["--perform_scr", value, "--sae_regex_pattern", "embedded", "--sae_block_pattern", "topk",
                 "--model_name", "embedded", "--output_folder", str(tmp_path), "--n_values", "2,5",
                 "--column1_vals_lookup", json.dumps({"a": [["x", "y"]]})]  # fmt: skip
    main.command.main(arguments, standalone_mode=False)
    assert (chosen["eval"], chosen["folder"]) == (name, tmp_path / name)
    config = make_config(SPECS[name == "scr"], chosen["settings"])
    assert config.perform_scr is (name == "scr")
    assert config.n_values == [2, 5]
    assert config.column1_vals_lookup == {"a": [("x", "y")]}


def test_perform_scr_is_required():
    with pytest.raises(click.MissingParameter, match="perform_scr"):
        main.command.main(
            ["--model_name", "embedded", "--sae_regex_pattern", "a", "--sae_block_pattern", "b"], standalone_mode=False
        )


def test_each_eval_refuses_the_other_ones_setting():
    assert ScrEvalConfig().perform_scr is True
    assert TppEvalConfig().perform_scr is False
    with pytest.raises(UsageError, match=r"tpp\.perform_scr"):
        make_config(TPP_SPEC, {"perform_scr": True})
