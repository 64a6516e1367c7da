"""`sae-bench`: what it prints, its exit codes, and one plain message for everything that can be asked wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from sae_bench.cli import cli, demo
from sae_bench.cli import evaluation as cli_evaluation
from sae_bench.cli.console import failure_lines
from sae_bench.cli.demo import DEMO_EVALS, DEMO_SAES
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.datasets import registry
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.results import files as result_files
from sae_bench.run.plan import Failure
from sae_bench.run.planning import choose_evals, make_config
from sae_bench.run.request import RunRequest, Target
from sae_bench.testing.synthetic_results import write_synthetic_results
from sae_bench.testing.tiny_models import tiny_sae

Call = Callable[..., Any]
MODEL = "<model>"
SAES = "<saes>"


def commands(command: click.Command, path: str = "sae-bench") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, f"{path} {name}")


# ---- help and lists


@pytest.mark.parametrize(("path", "command"), list(commands(cli)))
def test_every_command_and_option_is_explained(path: str, command: click.Command, sae_bench: Call):
    assert command.help, path
    context = click.Context(command, info_name=path)
    for param in command.get_params(context):
        if isinstance(param, click.Option):
            assert param.help, f"{path} {param.opts}"
    said = sae_bench(*path.split()[1:], "--help")
    assert said.code == 0
    assert said.out.startswith("Usage:")


def test_the_options_of_run_are_the_fields_of_its_options():
    names = {param.name for param in cli.commands["run"].params}
    fields = {*RunRequest.model_fields, *Target.model_fields} - {"targets", "saes"}
    only_flags, no_flags = (
        {"request_file", "sae_specs", "settings_files", "quiet", "log_file", "track", "dry_run", "gpus"},
        {"judge_key", "folder_per_eval"},
    )
    assert names == (fields | only_flags) - no_flags - {"clean_up_activations"}


@pytest.mark.parametrize(
    ("kind", "pattern", "shown", "hidden"),
    [
        ("evals", "", "sparse_probing", "pythia"),
        ("evals", "^CORE$", "core", "sparse_probing"),
        ("models", "pythia-70m", "EleutherAI/pythia-70m-deduped", "gemma"),
        ("datasets", "ag_news", "fancyzhx/ag_news", "europarl"),
        ("saes", "", "baseline:identity", "pythia-70m-deduped"),
        ("saes", "dictionary", "dictionary_learning:<hub repository or directory>", "baseline:identity"),
    ],
)
def test_lists(sae_bench: Call, kind: str, pattern: str, shown: str, hidden: str):
    said = sae_bench("list", kind, *([pattern] if pattern else []))
    assert said.code == 0
    assert shown in said.out
    assert hidden not in said.out


@pytest.mark.parametrize("kind", ["evals", "models", "datasets", "saes"])
def test_a_list_without_a_match(sae_bench: Call, kind: str):
    said = sae_bench("list", kind, "no such [thing]")
    assert said.code == 2
    assert "matches 'no such [thing]'" in said.message


def test_no_command_shows_the_help(sae_bench: Call):
    said = sae_bench()
    assert said.code == 2
    assert "Usage:" in said.out + said.err


# ---- runs


def test_a_run_shows_and_writes_its_results(world: Any, sae_bench: Call, tmp_path: Path):
    said = sae_bench(*world.run_arguments(tmp_path / "out", "--sae", "baseline:identity", "--seeds", "2"))
    assert said.code == 0, said.err
    assert "saes:sae_3" in said.out
    assert "baseline:identity" in said.out
    assert "7 results written" in said.message
    content = json.loads((tmp_path / "out/core/baseline_identity_eval_results.json").read_text())
    assert content["provenance"]["seeds"] == [42, 43]
    again = sae_bench(*world.run_arguments(tmp_path / "out", "--sae", "baseline:identity", "--seeds", "2"))
    assert again.code == 0
    assert "0 results written" in again.message
    assert "7 were there already" in again.message
    assert again.out == said.out
    other = sae_bench(*world.run_arguments(tmp_path / "out", "--set", "core.compute_kl=false"))
    assert other.code == 2
    assert "compute_kl: True there, False asked for" in other.message


def test_an_sae_of_another_width_is_a_failure_of_its_own(world: Any, sae_bench: Call, tmp_path: Path):
    save_sae(tiny_sae("topk", d_in=24), tmp_path / "wi[d]e" / "sae.safetensors")
    narrow = f"path:{tmp_path / 'wi[d]e'}"
    said = sae_bench(*world.run_arguments(tmp_path / "out", "--sae", narrow))
    assert said.code == 1
    assert "failed core on wi[d]e_sae" in said.message
    assert "reads vectors of 24 numbers" in said.message
    assert "6 results written" in said.message
    assert (tmp_path / "out/core/failed/wi[d]e_sae_core.txt").is_file()


def test_one_reason_of_several_evals_and_saes_is_said_once():
    failures = [Failure(sae, name, "too dense", Path(f"{name}/{sae}.txt")) for name in ("core", "tpp") for sae in "ab"]
    other = Failure("a", "scr", "no room", Path("scr/a.txt"))
    assert failure_lines([*failures, other]) == [
        "core, tpp on a, b: too dense (traceback: core/a.txt and 3 more)",
        "scr on a: no room (traceback: scr/a.txt)",
    ]


def test_declared_datasets_of_a_file(world: Any, sae_bench: Call, tmp_path: Path):
    declared = tmp_path / "mine.yaml"
    declared.write_text(f"name: mine/corpus\nkind: corpus\ndescription: Mine.\npath: {world.corpus}\n")
    arguments = world.run_arguments(
        tmp_path / "out", "--dataset-file", str(declared), "--set", "core.dataset=mine/corpus", sae="baseline:zero"
    )
    try:
        assert sae_bench(*arguments, "--hook", "blocks.1.hook_resid_post").code == 0
    finally:
        registry.forget_datasets()


def test_the_demo_is_a_run_on_everything_embedded(monkeypatch: pytest.MonkeyPatch, sae_bench: Call, tmp_path: Path):
    asked: list[RunRequest] = []
    monkeypatch.setattr(cli_evaluation, "evaluate_and_show", asked.append)
    assert sae_bench("demo", "--output-folder", tmp_path, "--seeds", "2").code == 0
    (target,) = asked[0].targets
    assert (target.model, asked[0].evals, asked[0].seeds) == ("embedded", DEMO_EVALS, 2)
    assert target.saes == DEMO_SAES
    names = list(eval_names())
    chosen = [spec.name for spec in choose_evals(DEMO_EVALS)]
    assert chosen == names
    for name, values in asked[0].settings.items():
        assert isinstance(values, dict)
        make_config(get_eval(name), {**values, "model_name": "embedded"})
    assert demo.name == "demo"


# ---- wrong use

WRONG: dict[str, tuple[list[str], str]] = {
    "eval": (["--evals", "coer"], "unknown eval 'coer'. Did you mean 'core'"),
    "model": (["--model", "pythia-70"], "unknown model 'pythia-70'. Did you mean"),
    "model folder": (["--model", "/"], "'/' holds no model"),
    "dataset": (["--set", "core.dataset=openwebtxt"], "unknown dataset 'openwebtxt'"),
    "too few rows": (["--set", "core.n_eval_reconstruction_batches=900"], "tokens are needed|are needed"),
    "sae kind": (["--sae", "pth:x"], "unknown kind of SAE 'pth'. Did you mean 'path'"),
    "sae form": (["--sae", "topk"], "'topk' is no SAE spec"),
    "sae file": (["--sae", "path:/no/such"], "there is no '/no/such'"),
    "baseline": (["--sae", "baseline:pac"], "unknown baseline 'pac'. Did you mean 'pca'"),
    "regex": (["--sae", "embedded:[/x"], "'[/x' is no regular expression"),
    "preset": (["--preset", "papre"], "'papre' is not one of 'paper', 'quick'"),
    "hook": (["--hook", "resid_post_8", "--sae", "baseline:zero"], "resid_post_8"),
    "hook too deep": (["--hook", "blocks.3.hook_resid_post", "--sae", "baseline:zero"], "3 layers"),
    "set without value": (["--set", "core.context_size"], "write EVAL.FIELD=VALUE"),
    "set without eval": (["--set", "context_size=3"], "write EVAL.FIELD=VALUE"),
    "set of another eval": (["--set", "scr.k=3"], "'scr' is not among the evals of this run (core)"),
    "set not YAML": (["--set", "core.dataset=[a"], "core.dataset: the value is no YAML"),
    "unknown setting": (["--set", "core.contxt_size=3"], "unknown setting of core 'contxt_size'. Did you mean"),
    "wrong type": (["--set", "core.context_size=[1, 2]"], "(got [1, 2])"),
    "seeds": (["--seeds", "0"], "seeds: Input should be greater than or equal to 1 (got 0)"),
    "seeds text": (["--seeds", "two"], "'two' is not a valid integer"),
    "llm dtype": (["--llm-dtype", "float33"], "unknown dtype 'float33'. Did you mean 'float32'"),
    "sae dtype": (["--sae-dtype", "float33"], "unknown dtype 'float33'. Did you mean 'float32'"),
    "device": (["--device", "abacus"], "'abacus' is no device; use auto, cpu, cuda"),
    "dataset file": (["--dataset-file", "/no/such.yaml"], "cannot read the file '/no/such.yaml': there is none"),
    "batch": (["--batch-tokens", "0"], "0 is not in the range x>=1"),
    "no output folder": (["--output-folder", ""], "Invalid value for '--output-folder': it is empty"),
    "no data folder": (["--data-dir", ""], "Invalid value for '--data-dir': it is empty"),
    "data folder": (["--data-dir", "/no/such"], "there is no folder '/no/such'"),
    "no cache": (["--cache-activations", ""], "Invalid value for '--cache-activations': it is empty"),
    "no request": (["--request", ""], "Invalid value for '--request': it is empty"),
    "request folder": (["--request", "/"], "File '/' is a directory"),
    "request device": (["--request", "/dev/null"], "it is no regular file"),
    "output file": (["--output-folder", "/dev/null"], "'/dev/null' is no folder"),
    "below a file": (["--output-folder", "/dev/null/x"], "'/dev/null' is a file"),
    "no model": (["--model", ""], "Missing option '--model'"),
    "blank model": (["--model", " "], "model: it is empty"),
    "no SAE": (["--sae", ""], "saes: it is empty"),
    "no evals": (["--evals", ""], "evals: it is empty"),
    "no hook": (["--hook", ""], "hook: it is empty"),
    "no device": (["--device", ""], "device: it is empty"),
    "no dtype": (["--llm-dtype", ""], "llm_dtype: it is empty"),
    "no SAE dtype": (["--sae-dtype", ""], "sae_dtype: it is empty"),
    "no corpus": (["--pca-corpus", ""], "pca_corpus: it is empty"),
    "no settings": (["--settings", ""], "--settings: it is empty"),
    "settings folder": (["--settings", "/"], "unknown settings '/'"),
    "no set": (["--set", ""], "write EVAL.FIELD=VALUE"),
    "no dataset file": (["--dataset-file", ""], "Invalid value for '--dataset-file': it is empty"),
    "bytes": (["--model", "\udcff"], "is no UTF-8 text"),
    "bytes in a path": (["--output-folder", "\udcff"], "is no UTF-8 text"),
    "many seeds": (["--seeds", "100000000"], "seeds: Input should be less than or equal to 1000"),
    "seeds below 0": (["--seeds", "-1"], "seeds: Input should be greater than or equal to 1"),
    "no number": (["--seeds", "nan"], "'nan' is not a valid integer"),
    "first seed": (["--random-seed", "-1"], "random_seed: Input should be greater than or equal to 0"),
    "late seed": (["--random-seed", "4294967295"], "random_seed: Input should be less than or equal to"),
    "deep": (["--set", "core.dataset=" + "[" * 100_000], "is nested too deeply"),
    "infinite": (["--set", "core.context_size=.inf"], "(got inf)"),
    "SAEs": (["--max-saes", "-3"], "-3 is not in the range x>=1"),
    "unknown option": (["--sead", "1"], "No such option"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_plain_message_and_nothing_is_written(case: str, world: Any, sae_bench: Call, tmp_path: Path):
    arguments, message = WRONG[case]
    said = sae_bench(*world.run_arguments(tmp_path / "out", *arguments))
    assert said.code == 2, said
    assert any(part in said.message for part in message.split("|")), said.message
    assert "Traceback" not in said.err + said.out
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", ""], "Invalid value for '[RESULTS]': it is empty"),
        (["compare", "/no/such"], "'/no/such' does not exist. Next:"),
        (["compare", "<empty>"], "holds no result. Next:"),
        (["compare", "<empty>", "--a", ""], "Invalid value for '--a': it is empty"),
        (["compare", "<empty>", "--metric", ""], "Invalid value for '--metric': it is empty"),
        (["compare", "<empty>", "--json", ""], "Invalid value for '--json': it is empty"),
        (["compare", "<empty>", "--json", "/dev/null"], "cannot write to '/dev/null': it is a device. Next:"),
        (["report", ""], "Invalid value for 'RESULTS': it is empty"),
        (["report", "<empty>"], "holds no result. Next:"),
        (["report", "/no/such"], "'/no/such' does not exist. Next:"),
        (["report", "<empty>", "-o", ""], "Invalid value for '-o' / '--output': it is empty"),
        (["report", "<empty>", "-o", "/"], "File '/' is a directory"),
        (["report", "<empty>", "-o", "/dev/full"], "cannot write to '/dev/full': it is a device. Next:"),
        (["report", "<empty>", "--with", ""], "Invalid value for '--with': it is empty"),
        (["report", "<empty>", "--figures", ""], "Invalid value for '--figures': it is empty"),
        (["schema", "--out", ""], "Invalid value for '--out': it is empty"),
        (["schema", "--out", "/dev/null"], "'/dev/null' is no folder"),
        (["schema", ""], "name at least one eval"),
        (["list", ""], "'' is not one of 'evals', 'saes', 'models', 'datasets'. Next:"),
        (["list", "evals", "["], "is no regular expression"),
        (["list", "evals", "\udcff"], "none of the"),
        (["demo", "--output-folder", ""], "Invalid value for '--output-folder': it is empty"),
        (["demo", "--seeds", "100000000"], "less than or equal to 1000"),
        (["demo", "--device", ""], "device: it is empty"),
        (["dmeo"], "No such command 'dmeo'"),
    ],
)
def test_wrong_use_of_other_commands(arguments: list[str], message: str, sae_bench: Call, tmp_path: Path):
    empty = tmp_path / "a folder with nothing"
    empty.mkdir()
    said = sae_bench(*(str(empty) if part == "<empty>" else part for part in arguments))
    assert (said.code, message in said.message) == (2, True), said
    assert len(said.err.strip().splitlines()) == 1
    assert list(tmp_path.rglob("*")) == [empty]


@pytest.mark.parametrize("alpha", ["0", "1", "-1", "nan", "inf", "1e400"])
def test_numbers_that_are_no_probability(alpha: str, tmp_path: Path, sae_bench: Call):
    write_synthetic_results(tmp_path, 2, evals=("core",), n_units=24)
    said = sae_bench("compare", tmp_path, "--alpha", alpha)
    assert (said.code, "alpha is a probability between 0 and 1" in said.message) == (2, True)
    said = sae_bench(
        "compare", tmp_path, "--baseline", "x", "--detect", "nan" if alpha == "1" else alpha.replace("1e", "-1e")
    )
    assert (said.code, "has to be above 0" in said.message) == (2, True)


def test_cuda_where_there_is_none(world: Any, sae_bench: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    said = sae_bench(*world.run_arguments(tmp_path / "out", "--device", "cuda"))
    assert (said.code, "no CUDA device is available here; use --device cpu" in said.message) == (2, True)


def test_a_run_without_a_model_or_sae(sae_bench: Call):
    said = sae_bench("run", "--sae", "baseline:zero")
    assert (said.code, "Missing option '--model'" in said.message) == (2, True)
    said = sae_bench("run", "--model", "embedded")
    assert (said.code, "Missing option '--sae'" in said.message) == (2, True)


def test_two_folders_of_the_same_name(world: Any, sae_bench: Call, tmp_path: Path):
    for place in ("one", "two"):
        save_sae(tiny_sae("topk"), tmp_path / place / "suite" / "sae.safetensors")
    specs = ["--sae", f"path:{tmp_path / 'one/suite'}", "--sae", f"path:{tmp_path / 'two/suite'}"]
    said = sae_bench(*world.run_arguments(tmp_path / "out", *specs))
    assert said.code == 2
    assert "several SAEs would write the same result file: suite_sae_eval_results.json" in said.message
    assert not (tmp_path / "out").exists()


def test_a_broken_result_is_named(world: Any, sae_bench: Call, tmp_path: Path):
    path = tmp_path / "out/core/saes_sae_1_eval_results.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"eval_type_id": "co')
    said = sae_bench(*world.run_arguments(tmp_path / "out"))
    assert said.code == 2
    assert f"'{path}' is not a readable result" in said.message
    assert sae_bench(*world.run_arguments(tmp_path / "out", "--force-rerun")).code == 0


def test_a_full_disk_is_one_plain_message(world: Any, sae_bench: Call, tmp_path: Path, monkeypatch):
    def full(path: Path, _text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("sae_bench.results.model.write_text_atomically", full)
    said = sae_bench(*world.run_arguments(tmp_path / "out"))
    assert said.code == 2
    assert "No space left on device" in said.message
    assert "the same command goes on" in said.message
    assert "Traceback" not in said.err


def test_a_read_only_folder_is_one_plain_message(world: Any, sae_bench: Call, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(result_files.os, "access", lambda *_: False)  # what a plain user sees; tests may run as root
    said = sae_bench(*world.run_arguments(tmp_path / "out"))
    assert (said.code, "is not writable. Next:" in said.message) == (2, True)
    assert not (tmp_path / "out").exists()


def test_out_of_memory_is_one_plain_message(world: Any, sae_bench: Call, tmp_path: Path, monkeypatch):
    def exhausted(*_: Any, **__: Any) -> Any:
        raise MemoryError("cannot allocate 80 GiB")

    monkeypatch.setattr("sae_bench.run.runner.run_pass", exhausted)
    said = sae_bench(*world.run_arguments(tmp_path / "out"))
    assert (said.code, "cannot allocate 80 GiB Next: a smaller batch" in said.message) == (2, True)


def test_verbose_shows_the_traceback(world: Any, sae_bench: Call, tmp_path: Path):
    said = sae_bench("--verbose", *world.run_arguments(tmp_path / "out", "--evals", "coer"))
    assert said.code == 2
    assert "Traceback" in said.err


def test_bars_of_libraries_are_silent(sae_bench: Call, capsys: pytest.CaptureFixture[str]):
    from tqdm.auto import tqdm

    assert sae_bench("list", "evals").code == 0
    assert list(tqdm([1, 2], desc="noise")) == [1, 2]
    assert "noise" not in capsys.readouterr().err
