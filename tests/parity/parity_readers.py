"""Readers beside the libraries that write the files: codes and reconstructions of the same SAEs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import torch
from reference import HERE, ROOT, SIDE
from rows import Row
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(HERE.parent / "support"))
from foreign_layouts import CASES, NORM, Case

from sae_bench.custom_saes.architectures import SAE_LENS
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.errors import HookError
from sae_bench.language_models.hooks import parse_hook_name

TITLE = "Readers of other libraries' files"
D_IN, D_SAE, N = 64, 256, 1000
ALLOWED = 1e-5
INTRODUCTION = f"""\
SAELens 6.54.12, sparsify 1.3.3, circuit-tracer 0.5.0 and dictionary_learning 0.1.0 in an environment of their own, on
{N:,} random activations of {D_IN} numbers, in float32; SAEs of {D_SAE} latents with random weights. Each library saves
what it has made, and this package reads it. Files of Gemma Scope, Qwen Scope, Llama Scope, Goodfire and mwhanna are
written by this package and read by both: on the other side by SAELens' loaders of these formats, with the hub replaced
by the folder. Given is the largest difference, divided by the largest value; codes are those of unit decoder rows where
the norms can be folded. The last part counts what of SAELens' list of pretrained SAEs is of a kind that is read.
"""
_LOADERS = {
    "Gemma Scope transcoder": "gemma_2_transcoder",
    "Gemma Scope SAE": "gemma_2",
    "Gemma Scope 2 SAE": "gemma_3",
    "Gemma Scope 2 transcoder": "gemma_3",
    "Gemma Scope 2 skip transcoder": "gemma_3",
    "Qwen Scope": "qwen_scope",
    "Llama Scope": "llama_scope",
    "Llama Scope R1-Distill": "llama_scope_r1_distill",
    "Goodfire": "goodfire",
    "qresearch": "deepseek_r1",
    "mwhanna without config.yaml": "mwhanna_transcoder",
}
"""Case -> SAELens' loader of its format."""
_FILES = {
    "Qwen Scope": ".sae.pt",
    "Goodfire": ".pth",
    "qresearch": ".pt",
    "mwhanna without config.yaml": ".safetensors",
}
"""What SAELens' folder name ends in where it names a file."""
MOST_ENTRIES = 13_800
FUNCTIONS = {
    "sae_lens": "standard, topk, gated or jumprelu",
    "connor_rob_hook_z": "standard",
    "gemma_2": "jumprelu",
    "gemma_3": "jumprelu",
    "llama_scope": "jumprelu",
    "llama_scope_r1_distill": "jumprelu",
    "dictionary_learning_1": "standard, topk, gated or jumprelu",
    "deepseek_r1": "standard",
    "qwen_scope": "topk",
    "sparsify": "topk",
    "gemma_2_transcoder": "jumprelu_transcoder",
    "mwhanna_transcoder": "transcoder",
    "mntss_clt_layer_transcoder": "layer of a cross-layer transcoder, for its codes",
    "goodfire": "standard",
    "temporal": "temporal",
}
"""SAELens' formats that are read, and the kinds that they hold."""


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Differences of every reader, then the entries of SAELens' list."""
    folder = work / "readers"
    if run:
        _write_inputs(folder)
        _run_reference(folder)
    x_ND = load_file(folder / "inputs.safetensors")["x"]
    rows = []
    for path in sorted((folder / "out").glob("*.safetensors")):
        rows += _rows(path.stem, folder, load_file(path), x_ND)
    return rows + registry_rows()


def readers_python() -> Path:
    """The interpreter of the libraries' environment, made when it is missing.

    SAE_BENCH_READERS_PYTHON names one that exists already.
    """
    if given := os.environ.get("SAE_BENCH_READERS_PYTHON"):
        return Path(given)
    environment = ROOT / ".venv-readers"
    python = environment / "bin" / "python"
    if not (environment / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        site = next(environment.glob("lib/python3*/site-packages"))
        (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")  # torch, transformers, datasets
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "-r", str(SIDE / "readers_requirements.txt")], check=True)
        (environment / "complete").touch()
    return python


def registry_rows() -> list[Row]:
    """How many entries of SAELens' list are of a kind that is read, and which are not."""
    script = "import json, run_registry; print(json.dumps(run_registry.entries()))"
    printed = subprocess.run(
        [str(readers_python()), "-c", script], check=True, capture_output=True, text=True, cwd=SIDE
    ).stdout
    entries = json.loads(printed.splitlines()[-1])
    total, by_kind = len(entries), {}
    for entry in entries:
        by_kind.setdefault(_kind_of(entry), []).append(entry)
    refused = {kind: of_kind for kind, of_kind in by_kind.items() if kind.startswith("not read")}
    n_read = total - sum(map(len, refused.values()))
    rows = [
        Row("entries of SAELens' list that are read", total, n_read, f"at least {MOST_ENTRIES}", n_read >= MOST_ENTRIES)
    ]
    for kind, of_kind in sorted(by_kind.items()):
        releases = sorted({entry["release"] for entry in of_kind})
        named = f" ({', '.join(releases)})" if kind in refused else ""
        rows.append(
            Row(f"entries: {kind}{named}", len(of_kind), 0 if kind in refused else len(of_kind), "stated", True)
        )
    return rows


def _kind_of(entry: dict[str, Any]) -> str:
    """What an entry is to this package: the kind that reads it, or "not read" and why."""
    function, architecture = entry["function"], entry.get("architecture")
    if function not in FUNCTIONS:
        return f"not read: {function}"
    if architecture is None:
        return f"{function}, {FUNCTIONS[function]} by a configuration that is not seen here"
    if architecture not in SAE_LENS:
        return f"not read: the architecture {architecture}"
    for name in ("hook_name", "hook_name_out"):
        try:
            if entry.get(name):
                parse_hook_name(entry[name])
        except HookError:
            return f"not read: no hook like {re.sub('[0-9]+', 'L', entry[name])}"
    return f"{function}, {architecture}"


def _write_inputs(folder: Path) -> None:
    """The activations, and the repositories that both sides read."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file({"x": torch.randn(N, D_IN, generator=torch.Generator().manual_seed(0))}, folder / "inputs.safetensors")
    cases = []
    for case in (case for case in CASES if case.name in _LOADERS):
        case.write(folder / "mirror" / case.repository, _weights(case))
        sizes = {"d_in": D_IN, "d_sae": D_SAE, **({"d_out": D_IN} if case.hooks[0] != case.hooks[1] else {})}
        in_folder = case.sae_id + _FILES.get(case.name, "")
        scale = D_IN**0.5 / NORM if case.scale != 1 else None
        cases.append(
            {
                "name": case.name,
                "loader": _LOADERS[case.name],
                "repo_id": case.repository,
                "folder": in_folder,
                "overrides": sizes,
                "scale": scale,
            }
        )
    (folder / "inputs.json").write_text(json.dumps(cases))


def _weights(case: Case) -> dict[str, torch.Tensor]:
    return case.weights(d_in=D_IN, d_sae=D_SAE)


def _run_reference(folder: Path) -> None:
    arguments = ["--mirror", folder / "mirror", "--saved", folder / "saved", "--out", folder / "out"]
    arguments += ["--inputs", folder / "inputs.safetensors"]
    command = [str(readers_python()), str(SIDE / "run_readers.py"), *map(str, arguments)]
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, env={**inherited, "HF_HUB_OFFLINE": "1"})


def _rows(name: str, folder: Path, theirs: dict[str, torch.Tensor], x_ND: torch.Tensor) -> list[Row]:
    case = next((case for case in CASES if case.name == name), None)
    spec = f"{case.scheme}:{case.repository}:{case.sae_id}" if case else f"path:{folder / 'saved' / name}"
    handles = resolve_spec(spec, data_dir=folder / "mirror")
    handle = next(h for h in handles if h.sae_id == _OF_SEVERAL.get(name, h.sae_id))
    sae: Any = handle.load(LoadContext(torch.device("cpu"), torch.float32))
    x = _input(name, x_ND)
    codes_NF = sae.encode(x).view(len(x_ND), -1)
    expected_NF = (
        theirs["codes"] * theirs["norm"] if "norm" in theirs and sae.check_decoder_norms() else theirs["codes"]
    )
    rows = [_difference(f"{name}: codes", expected_NF, codes_NF)] if _comparable(name) else []
    if "y" in theirs:
        rows.append(_difference(f"{name}: reconstructions", theirs["y"], sae(x).view(len(x_ND), -1)))
    return rows


_OF_SEVERAL = {"circuit_tracer cross-layer": "layer_1", "circuit_tracer cross-layer, whole": "up_to_layer_2"}


def _input(name: str, x_ND: torch.Tensor) -> torch.Tensor:
    """The activations as an SAE takes them: 25 texts, or those of three layers side by side."""
    if "temporal" in name:
        return x_ND.view(25, -1, x_ND.shape[1])
    return torch.cat([x_ND.roll(layer, 0) for layer in range(3)], dim=-1) if "whole" in name else x_ND


def _comparable(name: str) -> bool:
    """Whether both sides' codes have the same units; the others' codes of checkpoints are of scaled activations."""
    return "checkpoint" not in name


def _difference(what: str, theirs: torch.Tensor, ours: torch.Tensor) -> Row:
    difference = float((theirs.double() - ours.double()).abs().max() / theirs.abs().max())
    return Row(f"{what}, largest difference / largest value", 0.0, difference, f"{ALLOWED:g}", difference <= ALLOWED)
