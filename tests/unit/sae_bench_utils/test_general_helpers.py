"""Published helpers for names, dtypes, files, indices and comparisons."""

from __future__ import annotations

import re
import uuid
from argparse import ArgumentParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from sae_bench import sae_bench_utils
from sae_bench.errors import SAEBenchError, UsageError
from sae_bench.evals.core.eval_output import CoreEvalOutput
from sae_bench.sae_bench_utils import general_utils, indexing_utils, sae_selection_utils, testing_utils
from sae_bench.testing.tiny_models import tiny_sae

# ---- names and versions


def test_identities():
    first, second = sae_bench_utils.get_eval_uuid(), sae_bench_utils.get_eval_uuid()
    assert uuid.UUID(first) != uuid.UUID(second)
    assert re.fullmatch(r"Unknown|\d+\.\d+.*", sae_bench_utils.get_sae_lens_version())
    assert re.fullmatch(r"Unknown|[0-9a-f]{40}", sae_bench_utils.get_sae_bench_version())


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
def test_dtypes_there_and_back(name: str):
    assert general_utils.dtype_to_str(general_utils.str_to_dtype(name.upper())) == name


def test_unknown_dtype():
    with pytest.raises(ValueError, match="'int3' is no dtype"):
        general_utils.str_to_dtype("int3")


def test_keywords_and_patterns():
    names = ["repo/Trainer_1", "repo/trainer_2/checkpoints", "repo/trainer_3"]
    assert general_utils.filter_keywords(names, ["checkpoints"], ["trainer"]) == [names[0], names[2]]
    assert general_utils.filter_keywords(names, [], ["Trainer"], case_sensitive=True) == [names[0]]
    assert general_utils.filter_keywords(names, ["TRAINER_3"], [], case_sensitive=True) == names
    assert general_utils.filter_with_regex(names, ["_1$", "check"]) == names[:2]


def test_results_filepath_has_no_slash():
    assert general_utils.get_results_filepath("out", "org/release", "layer_1/a") == str(
        Path("out") / "org_release_layer_1_a_eval_results.json"
    )


def test_device():
    assert general_utils.setup_environment() in ("cpu", "cuda", "mps")


# ---- SAEs


def test_decoder_norms():
    unit = torch.nn.functional.normalize(torch.randn(5, 8), dim=1)
    assert general_utils.check_decoder_norms(unit)
    assert general_utils.check_decoder_norms(unit.bfloat16())
    with pytest.raises(ValueError, match=r"off by 1\b.*fold_decoder_norm"):
        general_utils.check_decoder_norms(unit * 2)


def test_load_and_format_sae():
    sae = tiny_sae("topk")
    assert general_utils.load_and_format_sae("mine", sae, "cpu") == ("custom_sae", sae, None)
    sae_id, loaded, sparsity = general_utils.load_and_format_sae("embedded", "topk", "cpu")
    assert (sae_id, loaded.cfg.d_in, sparsity) == ("topk", 576, None)
    with pytest.raises(UsageError):
        general_utils.load_and_format_sae("embedded", "no such", "cpu")


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ({"trainer_class": "TrainerTopK", "k": 20, "l1_penalty": 1}, 20),
        ({"trainer_class": "PAnnealTrainer", "sparsity_penalty": 0.1}, 0.1),
        ({"trainer_class": "StandardTrainer", "l1_penalty": 0.2}, 0.2),
    ],
)
def test_sparsity_penalty(trainer: dict[str, Any], expected: float):
    assert general_utils.get_sparsity_penalty({"trainer": trainer}) == expected


def test_means_over_data_sets():
    results = {"a_results": {"accuracy": 0.8, "loss": 0.5}, "b_results": {"accuracy": 0.85}}
    found = general_utils.average_results_dictionaries(results, ["a", "b"])
    testing_utils.compare_dicts_within_tolerance(found, {"accuracy": 0.825, "loss": 0.5}, tolerance=1e-12)


def test_retries_wait_longer_and_give_up(monkeypatch: pytest.MonkeyPatch):
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    calls: list[int] = []

    @general_utils.retry_with_exponential_backoff(retries=3, jitter=False, max_delay=3.0, exceptions=KeyError)
    def third_time(good_at: int) -> str:
        calls.append(1)
        if len(calls) < good_at:
            raise KeyError("not yet")
        return "done"

    assert third_time(3) == "done"
    assert waited == [1.0, 2.0]
    calls.clear()
    with pytest.raises(KeyError):
        third_time(99)
    assert len(calls) == 4
    assert waited[2:] == [1.0, 2.0, 3.0]


# ---- SAELens' list


def _release(name: str, saes: dict[str, tuple[float, float]]) -> SimpleNamespace:
    return SimpleNamespace(
        model=f"model of {name}",
        release=name,
        repo_id=f"org/{name}",
        saes_map={sae_id: f"path/{sae_id}" for sae_id in saes},
        expected_var_explained={sae_id: value for sae_id, (value, _) in saes.items()},
        expected_l0={sae_id: l0 for sae_id, (_, l0) in saes.items()},
    )


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> None:
    releases = [
        _release("release2", {"sae3": (0.7, 30), "sae4": (0.6, 40)}),
        _release("release1", {"sae1": (0.9, 10), "sae2": (0.8, 20)}),
        _release(
            "gemma-scope-2b-pt-res",
            {f"layer_{i}/width_16k/average_l0_{n}": (0.5, n) for i in (1, 12) for n in (20, 40)},
        ),
    ]
    known = {release.release: release for release in releases}
    monkeypatch.setattr(sae_selection_utils, "get_pretrained_saes_directory", lambda: known)


@pytest.mark.usefixtures("directory")
def test_selection_by_patterns():
    assert ("release1", "sae2", 0.8, 20) in sae_selection_utils.all_loadable_saes()
    assert sae_selection_utils.get_saes_from_regex("release1", r"sae\d") == [("release1", "sae1"), ("release1", "sae2")]
    assert sae_selection_utils.get_saes_from_regex(r"release\d", "sae[24]") == [
        ("release2", "sae4"),
        ("release1", "sae2"),
    ]
    assert sae_selection_utils.get_saes_from_regex("release", "sae1") == [], "the whole name has to match"
    pairs = sae_selection_utils.select_saes_multiple_patterns(["release1", "release2"], ["sae1", "sae3"])
    assert pairs == [("release1", "sae1"), ("release2", "sae3")]
    assert general_utils.find_gemmascope_average_l0_sae_names(12) == [
        "layer_12/width_16k/average_l0_20",
        "layer_12/width_16k/average_l0_40",
    ]


@pytest.mark.usefixtures("directory")
def test_embedded_saes_are_selected_like_others():
    assert ("embedded", "topk") in sae_selection_utils.get_saes_from_regex("embedded", ".*topk")


@pytest.mark.usefixtures("directory")
def test_selection_errors():
    with pytest.raises(UsageError, match="no SAE matches"):
        sae_selection_utils.select_saes_multiple_patterns(["release1"], ["sae9"])
    with pytest.raises(UsageError, match="got 2 for releases and 1 for ids"):
        sae_selection_utils.select_saes_multiple_patterns(["a", "b"], ["c"])
    with pytest.raises(UsageError, match="no regular expression"):
        sae_selection_utils.get_saes_from_regex("(", ".*")


@pytest.mark.usefixtures("directory")
def test_tables_of_releases(capsys: pytest.CaptureFixture[str]):
    sae_selection_utils.print_all_sae_releases()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["model", "of", "release1", "release1", "org/release1", "2"] in lines
    assert lines.index(["model", "of", "release1", "release1", "org/release1", "2"]) < lines.index(
        ["model", "of", "release2", "release2", "org/release2", "2"]
    )
    sae_selection_utils.print_release_details("release1")
    said = capsys.readouterr().out
    assert "org/release1" in said
    assert "{'sae1': 'path/sae1', ...}" in said
    assert len(sae_selection_utils.metadata_rows) == 3
    with pytest.raises(SAEBenchError, match="Did you mean 'release"):
        sae_selection_utils.print_release_details("relase1")


# ---- indices


def test_largest_values_away_from_the_ends():
    x = torch.arange(40).reshape(2, 20)
    x[0, 10] += 50
    x[0, 11] += 100
    x[1, 1] += 150  # too near the start
    top = indexing_utils.get_k_largest_indices(x, k=2, buffer=3)
    assert top.tolist() == [[0, 11], [0, 10]]
    apart = indexing_utils.get_k_largest_indices(x, k=2, buffer=3, no_overlap=True)
    assert apart.tolist() == [[0, 11], [1, 16]]
    around = indexing_utils.index_with_buffer(x, top, buffer=3)
    assert around[0].tolist() == [8, 9, 60, 111, 12, 13, 14]
    assert around[1].tolist() == [7, 8, 9, 60, 111, 12, 13]


def test_no_buffer_keeps_every_column():
    x = torch.tensor([[0.0, 1.0, 2.0], [9.0, 0.0, 0.0]])
    assert indexing_utils.get_k_largest_indices(x, k=1).tolist() == [[1, 0]]
    assert indexing_utils.index_with_buffer(x, torch.tensor([[1, 0]])).tolist() == [[9.0]]
    with pytest.raises(UsageError, match="2 columns from both ends"):
        indexing_utils.get_k_largest_indices(x, k=1, buffer=2)


def test_sampling_by_size():
    x = torch.zeros(3, 50)
    x[0, 5], x[1, 20], x[2, 30] = 1.0, 100.0, 1.0
    drawn = indexing_utils.get_iw_sample_indices(x, k=3, buffer=2)
    assert sorted(map(tuple, drawn.tolist())) == [(0, 5), (1, 20), (2, 30)]
    first = [
        indexing_utils.get_iw_sample_indices(x, k=1, generator=torch.Generator().manual_seed(seed)).tolist()
        for seed in range(50)
    ]
    assert first.count([[1, 20]]) == 50, "its weight is ten thousand times that of the others"
    plain = [
        indexing_utils.get_iw_sample_indices(x, 1, 0, False, torch.Generator().manual_seed(seed)).tolist()
        for seed in range(400)
    ]
    assert 0 < 400 - plain.count([[1, 20]]) < 40  # 2 of 102 in weight: 8 of 400 expected
    with pytest.raises(UsageError, match="3 have a value above 0"):
        indexing_utils.get_iw_sample_indices(x, k=4)


# ---- comparisons and checks


def test_comparison_of_nested_dictionaries():
    expected = {"a": {"x": 1.0, "name": "n"}, "random_seed": 1}
    close = {"a": {"x": 1.05, "name": "n"}, "random_seed": 2}
    testing_utils.compare_dicts_within_tolerance(close, expected, 0.1)
    with pytest.raises(AssertionError, match=r"up to 0\.05"):
        testing_utils.compare_dicts_within_tolerance(close, expected, 0.01)
    testing_utils.compare_dicts_within_tolerance({"a": 1.0, "b": 9.0}, {"a": 1.0, "b": 2.0}, 0.0, keys_to_compare=["a"])
    with pytest.raises(AssertionError, match=r"keys differ in \['y'\]"):
        testing_utils.compare_dicts_within_tolerance({"a": {"x": 1.0, "y": 1}}, {"a": {"x": 1.0}}, 1.0)
    with pytest.raises(AssertionError, match="'m' is not 'n'"):
        testing_utils.compare_dicts_within_tolerance({"a": "m"}, {"a": "n"}, 1.0)


def test_format_of_results(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        testing_utils.validate_eval_output_format_file(tmp_path / "no.json", CoreEvalOutput)
    with pytest.raises(ValidationError):
        testing_utils.validate_eval_output_format_str("{}", CoreEvalOutput)


def test_command_line_of_an_eval():
    parser = ArgumentParser()
    for name in ("sae_regex_pattern", "sae_block_pattern", "output_folder", "force_rerun", "model_name", "k"):
        parser.add_argument(f"--{name}", help=f"The {name}.")
    config = SimpleNamespace(__dataclass_fields__={"k": None, "model_name": None})
    testing_utils.validate_eval_cli_interface(parser, config)
    with pytest.raises(AssertionError, match=r"settings have no flag: \['n'\]"):
        testing_utils.validate_eval_cli_interface(parser, SimpleNamespace(__dataclass_fields__={"k": None, "n": None}))
    with pytest.raises(AssertionError, match=r"missing: \['api_key'\]"):
        testing_utils.validate_eval_cli_interface(parser, config, {"api_key"})
    parser.add_argument("--silent")
    with pytest.raises(AssertionError, match=r"no help: \['silent'\]"):
        testing_utils.validate_eval_cli_interface(parser)
