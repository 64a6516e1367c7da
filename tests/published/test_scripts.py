"""Every script that was published starts by its path, from any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

import sae_bench
from sae_bench.evals.core.eval_output import CoreEvalOutput

pytestmark = pytest.mark.slow

PACKAGE = Path(sae_bench.__file__).parent
SCRIPTS = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.py")
    if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
)
PUBLISHED = [
    *(f"evals/{name}/main.py" for name in (
        "absorption", "autointerp", "core", "mdl", "meta_structure", "ravel", "scr_and_tpp", "sparse_probing",
        "sparse_probing_sae_probes", "unlearning",
    )),
    "evals/core/convert_directory.py",
    "evals/generate_json_schemas.py",
    "custom_saes/run_all_evals_custom_saes.py",
    "custom_saes/run_all_evals_dictionary_learning_saes.py",
]  # fmt: skip

FORKS = """
import json, os, runpy, sys
import torch, numpy, scipy.stats, pandas, pydantic, rich, transformers  # once, for all scripts
from pathlib import Path
from sae_bench.custom_saes.loaders import embedded
suite, calls = json.load(sys.stdin)
pair, answers = embedded.pair_handles, []
embedded.pair_handles = lambda folder, release: pair(Path(suite) if suite else folder, release=release)
for script, *arguments in calls:
    sys.stdout.flush()
    with open("out.txt", "w") as out, open("err.txt", "w") as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
            sys.argv, sys.path[0] = [script, *arguments], os.path.dirname(script)
            code = 1
            try:
                runpy.run_path(script, run_name="__main__")
                code = 0
            except SystemExit as stop:
                code = stop.code or 0
            finally:
                sys.stdout.flush(), sys.stderr.flush()
                os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    answers.append([status, open("out.txt").read(), open("err.txt").read()])
print(json.dumps(answers))
"""
"""Runs scripts one after the other, each in a process of its own as `python <path>` would, on tiny embedded SAEs."""


class Answer(NamedTuple):
    code: int
    out: str
    err: str


def start(calls: list[tuple[str, ...]], folder: Path, suite: Path | None = None) -> list[Answer]:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    scripts = [(str(PACKAGE / script), *map(str, arguments)) for script, *arguments in calls]
    asked = json.dumps([None if suite is None else str(suite), scripts])
    said = subprocess.run(
        [sys.executable, "-c", FORKS], cwd=folder, env=environment, input=asked, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return [Answer(*answer) for answer in json.loads(said.stdout)]


def test_every_published_script_is_there():
    assert set(PUBLISHED) <= set(SCRIPTS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_every_script_starts_by_its_path(tmp_path: Path):
    scripts = [script for script in SCRIPTS if not script.endswith("__main__.py")]
    answers = dict(zip(scripts, start([(script, "--help") for script in scripts], tmp_path), strict=True))
    assert {script: answer.err for script, answer in answers.items() if answer.code} == {}
    assert [script for script, answer in answers.items() if "Usage:" not in answer.out] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_scripts_work_by_their_path(tmp_path: Path, suite: Path):
    columns = {"encoder_norm": [0.5, 1 / 3], "feature_density": [0.25, 0.0]}
    blank = dict.fromkeys(CoreEvalOutput.model_fields, "")
    old = {**blank, "eval_type_id": "core", "eval_result_metrics": {}, "eval_result_details": [columns]}
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.json").write_text(json.dumps(old))
    small = ("--train_steps", 2, "--width_ratio", 0.1, "--k", 2, "--train_batch_size", 8, "--no_autocast")
    which = ("--sae_regex_pattern", "embedded", "--sae_id_pattern", "topk", "--output_folder", "out")
    answers = start(
        [
            ("evals/core/convert_directory.py", "old"),
            ("evals/generate_json_schemas.py", "--check"),
            ("evals/meta_structure/main.py", *which, *small, "--device", "cpu"),
        ],
        tmp_path,
        suite,
    )
    assert [answer.code for answer in answers] == [0, 0, 0], [answer.err for answer in answers]
    rows = json.loads((tmp_path / "old" / "converted_outputs" / "a.json").read_text())["eval_result_details"]
    assert rows[1] == {"index": 1, "encoder_norm": 0.3333333333, "feature_density": 0.0}
    result = json.loads((tmp_path / "out" / "embedded_topk_eval_results.json").read_text())
    assert result["eval_config"]["train_steps"] == 2
    assert result["eval_result_metrics"]["meta_structure"]["decoder_fraction_variance_explained"] is not None


def test_no_module_beside_a_script_hides_another():
    """A script's folder goes before all others on the path of imports."""
    folders = {(PACKAGE / script).parent for script in SCRIPTS if "/" in script}
    beside = {path.stem for folder in folders for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert beside & (sys.stdlib_module_names | set(packages_distributions())) == set()
