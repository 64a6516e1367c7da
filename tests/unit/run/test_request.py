"""The one door: flags, a YAML file and keywords ask for the same; what is wrong is said before anything is loaded."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import sae_bench
from sae_bench.cli.run import run as run_command
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.errors import PrerequisiteError, ResultError, UsageError
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.language_models import LanguageModel
from sae_bench.run.evaluate import execute
from sae_bench.run.request import RunRequest
from sae_bench.testing.tiny_models import tiny_model, tiny_sae

PACKAGE = Path(sae_bench.__file__).parent
CORE = {
    "batch_size_prompts": 4,
    "n_eval_reconstruction_batches": 1,
    "n_eval_sparsity_variance_batches": 1,
    "context_size": 16,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two models, three SAEs and a corpus."""
    for name in ("one", "two"):
        lm = tiny_model("gpt2")
        lm.model.save_pretrained(tmp_path / name)
        lm.tokenizer.save_pretrained(tmp_path / name)
    for place, name in (("a", "first"), ("a", "second"), ("b", "third")):
        save_sae(tiny_sae("topk"), tmp_path / place / f"{name}.safetensors")
    texts = [f"Text {i} is about river {i % 7} and the bread of town {i % 5}." for i in range(60)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    return tmp_path


@pytest.fixture
def core(folder: Path) -> dict[str, Any]:
    return {**CORE, "dataset": str(folder / "corpus.jsonl")}


def metrics(path: Path) -> Any:
    return json.loads(path.read_text())["eval_result_metrics"]


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*_eval_results.json")}


def write(path: Path, content: Any) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


# ---- who calls the runner


def test_nothing_but_the_door_calls_the_runner():
    def calls(path: Path) -> bool:
        imported = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        taken = [name.name for node in imported if node.module == "sae_bench.run.runner" for name in node.names]
        whole = [name.name for node in imported if node.module == "sae_bench.run" for name in node.names]
        return "run" in taken or "runner" in whole

    callers = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if calls(path)}
    assert callers == {"run/evaluate.py"}


# ---- the same request from everywhere


def test_flags_a_file_and_keywords_are_one_request(folder: Path, core: dict[str, Any]):
    keywords = RunRequest.of(
        targets=[{"model": str(folder / "one"), "saes": [f"path:{folder / 'a'}"], "llm_dtype": "float32"}],
        evals=["core"], settings={"core": core}, seeds=2, output_folder=folder / "out",
    )  # fmt: skip
    flags = RunRequest.from_flags(
        {
            "model": str(folder / "one"), "sae_specs": (f"path:{folder / 'a'}",), "llm_dtype": "float32",
            "evals": ("core",), "settings": [f"core.{k}={v}" for k, v in core.items()], "seeds": 2,
            "output_folder": folder / "out",
        }
    )  # fmt: skip
    content = {
        "model": str(folder / "one"), "saes": [f"path:{folder / 'a'}"], "llm_dtype": "float32", "evals": "core",
        "settings": {"core": core}, "seeds": 2, "output_folder": str(folder / "out"),
    }  # fmt: skip
    from_file = RunRequest.from_yaml(write(folder / "sweep.yaml", content))
    assert keywords == flags == from_file


def test_published_nulls_is_a_flag_and_an_option():
    flags = {"model": "embedded", "sae_specs": ("baseline:zero",)}
    assert RunRequest.from_flags({**flags, "published_nulls": True}).published_nulls
    assert not RunRequest.from_flags(flags).published_nulls
    assert "--published-nulls" in {flag for parameter in run_command.params for flag in parameter.opts}


def test_flags_go_over_the_file(folder: Path, core: dict[str, Any]):
    path = write(
        folder / "sweep.yaml",
        {"model": "one", "saes": "path:a", "evals": ["core"], "seeds": 2, "settings": {"core": core}},
    )
    request = RunRequest.from_flags(
        {"seeds": 3, "model": "two", "settings": ["core.context_size=8"]}, request_file=path
    )
    assert (request.seeds, request.targets[0].model, request.targets[0].saes) == (3, "two", ("path:a",))
    assert request.settings["core"] == {**core, "context_size": 8}


def test_several_models_of_one_file(folder: Path, core: dict[str, Any]):
    content = {
        "evals": ["core"], "settings": {"core": core}, "output_folder": str(folder / "out"), "llm_dtype": "float32",
        "models": [
            {"model": str(folder / "one"), "saes": [f"path:{folder / 'a'}"]},
            {"model": str(folder / "two"), "saes": [f"path:{folder / 'b'}"]},
        ],
    }  # fmt: skip
    summary = execute(RunRequest.from_yaml(write(folder / "sweep.yaml", content)))
    assert not summary.failures
    assert names(folder / "out") == {f"core/{n}_eval_results.json" for n in ("a_first", "a_second", "b_third")}
    of = {path.name[0]: json.loads(path.read_text())["eval_config"]["model_name"] for path in summary.written}
    assert of == {"a": str(folder / "one"), "b": str(folder / "two")}
    content["models"][1]["saes"] = [f"path:{folder / 'a'}"]
    with pytest.raises(ResultError, match="give each model an output_folder of its own"):
        execute(RunRequest.from_yaml(write(folder / "sweep.yaml", content)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": "m", "saes": ["a:b"], "seedz": 3}, "unknown option in .* 'seedz'. Did you mean 'seeds'"),
        ({"models": [{"model": "m", "sae": ["a:b"]}]}, "'sae'. Did you mean 'saes'"),
        ({"models": [{"model": "m", "saes": ["a:b"]}], "model": "x"}, "both 'model' or 'saes' and 'models'"),
        ({"model": "m", "saes": ["a:b"], "seeds": 100_000_000}, "seeds: .*less than or equal to 1000"),
        ({"model": "m", "saes": ["a:b"], "preset": "papre"}, "preset: .*'paper' or 'quick'"),
        ({"model": "", "saes": ["a:b"]}, "model"),
        ({"model": "m", "saes": []}, "saes"),
        ({"model": "m", "saes": ["a:b"], "output_folder": ""}, "output_folder: it is empty"),
        ({"model": "m", "saes": ["a:b"], "evals": []}, "name at least one eval"),
        ({"model": "m", "saes": ["a:b"], "evals": "coer"}, "Did you mean 'core'"),
        ({"model": "m", "saes": ["a:b"], "settings": {"scr": {}}}, "'scr': it is not among the evals"),
        ({"model": "m", "saes": ["a:b"], "settings": {"core": {"contxt_size": 3}}}, "Did you mean 'context_size'"),
        ({"model": "m", "saes": ["a:b"], "judge": "none"}, "none of the evals of this run has a judge"),
        (["m"], "map options to values"),
    ],
)
def test_wrong_files(tmp_path: Path, content: Any, message: str):
    with pytest.raises(UsageError, match=message):
        execute(RunRequest.from_yaml(write(tmp_path / "sweep.yaml", content)))
    assert names(tmp_path) == set()


def test_a_small_file_cannot_become_a_huge_one(tmp_path: Path):
    path = tmp_path / "bomb.yaml"
    path.write_text("a: &a [x, x]\nb: &b [*a, *a]\nmodel: *b\n")
    with pytest.raises(UsageError, match="has an alias"):
        RunRequest.from_yaml(path)
    path.write_text("model: " + "[" * 5000 + "]" * 5000)
    with pytest.raises(UsageError, match="nested too deeply"):
        RunRequest.from_yaml(path)


def test_a_missing_mirror(tmp_path: Path):
    with pytest.raises(PrerequisiteError, match="there is no folder"):
        RunRequest.of(targets=[{"model": "m", "saes": ["a:b"]}], data_dir=tmp_path / "none")


@pytest.mark.parametrize(
    ("setting", "flag"), [("model_name", "--model"), ("llm_dtype", "--llm-dtype"), ("random_seed", "--random-seed")]
)
def test_what_describes_the_run_is_not_set_for_one_eval(setting: str, flag: str):
    request = RunRequest.of(
        targets=[{"model": "m", "saes": ["a:b"]}], evals=["sparse_probing"], settings={"sparse_probing": {setting: 1}}
    )
    with pytest.raises(UsageError, match=rf"sparse_probing\.{setting} describes the run.*{flag} sets it"):
        execute(request)


def test_a_whole_configuration_has_to_agree_with_the_run(folder: Path, core: dict[str, Any]):
    def ask(config: CoreEvalConfig) -> Any:
        return sae_bench.evaluate(
            str(folder / "one"), f"path:{folder / 'b'}", ["core"], output_folder=folder / "out",
            settings={"core": config}, llm_dtype="float32",
        )  # fmt: skip

    with pytest.raises(UsageError, match="says llm_dtype='bfloat16', the run 'float32'"):
        ask(CoreEvalConfig(**core, llm_dtype="bfloat16"))
    with pytest.raises(UsageError, match="says model_name='other'"):
        ask(CoreEvalConfig(**core, model_name="other"))
    (path,) = ask(CoreEvalConfig(**core)).written
    assert json.loads(path.read_text())["eval_config"]["n_eval_reconstruction_batches"] == 1, "no preset over it"


# ---- keywords and objects


def test_names_and_objects_give_the_same_numbers(folder: Path, core: dict[str, Any]):
    asked: dict[str, Any] = {"evals": "core", "settings": {"core": core}, "preset": None}
    lm = tiny_model("gpt2")
    weights = list(lm.model.parameters())
    for weight in weights:
        weight.requires_grad_(True)
    lm.model.train()
    saes = sae_bench.load_saes(f"path:{folder / 'b'}")
    assert list(saes) == ["b:third"]
    runs = {
        "names": (str(folder / "one"), f"path:{folder / 'b'}"),
        "pair": ((lm.model, lm.tokenizer), saes),
        "model": (tiny_model("gpt2"), list(saes.items())),
    }
    found = {}
    for name, (model, chosen) in runs.items():
        summary = sae_bench.evaluate(model, chosen, output_folder=folder / name, **asked)
        assert names(folder / name) == {"core/b_third_eval_results.json"}
        found[name] = metrics(summary.written[0])
    assert found["pair"] == found["model"] == found["names"]
    assert lm.model.training
    assert all(weight.requires_grad for weight in weights)


@pytest.mark.parametrize(
    ("model", "saes", "message"),
    [
        (("gpt2", None), "path:x", "'tuple' is no model"),
        ("m", "topk", "'topk' is no SAE spec"),
    ],
)
def test_what_is_no_model_or_sae(model: Any, saes: Any, message: str):
    with pytest.raises(UsageError, match=message):
        sae_bench.evaluate(model, saes)


def test_a_loaded_model_is_taken_as_it_is():
    lm = tiny_model("gpt2")
    with pytest.raises(UsageError, match="is loaded in float32, bfloat16 was asked for"):
        sae_bench.evaluate(lm, {"a": tiny_sae("topk")}, llm_dtype="bfloat16")


def test_two_objects_of_one_name(folder: Path):
    saes = [("a", tiny_sae("topk")), ("a", tiny_sae("relu"))]
    with pytest.raises(ResultError, match="several SAEs would write the same result file"):
        sae_bench.evaluate(tiny_model("gpt2"), saes, preset="quick", output_folder=folder / "out")


def test_an_unknown_option_is_named():
    with pytest.raises(UsageError, match=r"unknown option of a run 'seedz'. Did you mean 'seeds'"):
        sae_bench.evaluate("m", "path:x", seedz=3)


def test_the_table_of_results(folder: Path, core: dict[str, Any]):
    lm: LanguageModel = sae_bench.load_model(str(folder / "one"))
    sae_bench.evaluate(
        lm, [f"path:{folder / 'a'}", f"path:{folder / 'b'}"], "core", settings={"core": core}, seeds=2,
        output_folder=folder / "out",
    )  # fmt: skip
    table = sae_bench.load_results(folder / "out")
    assert set(table["sae"]) == {"a:first", "a:second", "b:third"}
    row = table[table.metric == "sparsity.l0"].iloc[0]
    assert set(row.seed_values) == {42, 43} or row.seed_values == {}
    assert {"eval", "title", "value", "ci_low", "ci_high"} <= set(table.columns)
    assert sae_bench.rank(folder / "out").rankings
    assert sae_bench.compare(folder / "out", a="a:first", b="b:third").pairs
    sae_bench.report(folder / "out", folder / "page.html")
    assert "a:first" in (folder / "page.html").read_text()


# ---- the key of the judge


def test_the_key_is_written_nowhere_and_shown_nowhere(folder: Path, core: dict[str, Any]):
    request = RunRequest.of(
        targets=[{"model": str(folder / "one"), "saes": [f"path:{folder / 'b'}"]}], evals=["core"],
        settings={"core": core}, output_folder=folder / "out", judge_key="sk-secret",
    )  # fmt: skip
    execute(request)
    assert "sk-secret" not in repr(request) + request.model_dump_json()
    written = [path for path in (folder / "out").rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if b"sk-secret" in path.read_bytes()]


# ---- models on several devices


def test_a_divided_model_gives_the_results_of_one_device_and_other_attention_its_own(
    folder: Path, core: dict[str, Any]
):
    modules = ["transformer.wte", "transformer.wpe", *(f"transformer.h.{i}" for i in range(3)), "transformer.ln_f"]
    places = {**dict.fromkeys(modules, "cpu"), "transformer.h.1": "disk", "transformer.drop": "cpu", "lm_head": "cpu"}

    def result(out: str, **how: Any) -> dict[str, Any]:
        flags = {
            "model": str(folder / "one"), "sae_specs": (f"path:{folder / 'b'}",), "output_folder": folder / out,
            "settings": [f"core.{k}={v}" for k, v in core.items()], **how,
        }  # fmt: skip
        summary = execute(RunRequest.from_flags(flags))
        assert not summary.failures
        return json.loads((summary.written or summary.skipped)[0].read_text())

    whole, parts = result("whole"), result("parts", device_map=json.dumps(places))
    assert parts["provenance"]["device_map"] == places
    assert whole["provenance"]["device_map"] is None
    assert parts["provenance"]["model_fingerprint"] == whole["provenance"]["model_fingerprint"]
    assert parts["eval_result_metrics"] == whole["eval_result_metrics"]
    assert whole["provenance"]["attn_implementation"] == "sdpa"
    with pytest.raises(ResultError, match="model_fingerprint"):
        result("whole", attn_implementation="eager")
    assert result("eager", attn_implementation="eager")["provenance"]["attn_implementation"] == "eager"


def test_what_decides_how_a_model_is_loaded_comes_too_late_for_a_loaded_one():
    for how in ({"device_map": "auto"}, {"attn_implementation": "eager"}, {"quantize": "8bit"}):
        with pytest.raises(UsageError, match=f"{next(iter(how))}: 'tiny-gpt2' is loaded already"):
            sae_bench.evaluate(tiny_model("gpt2"), {"s": tiny_sae("topk")}, **how)
    with pytest.raises(UsageError, match="neither auto nor balanced nor JSON"):
        RunRequest.of(targets=[{"model": "embedded", "saes": ["baseline:zero"], "device_map": "all"}])
