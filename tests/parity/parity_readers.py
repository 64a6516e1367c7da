"""Readers beside the libraries that write the files: codes and reconstructions of the same SAEs."""

from __future__ import annotations

import itertools
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
from edges import ALLOWED, at_an_edge
from foreign_layouts import CASES, NORM

from sae_bench.custom_saes.architectures import SAE_LENS
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.datasets import load_corpus
from sae_bench.errors import HookError
from sae_bench.language_models import load_language_model
from sae_bench.language_models.hooks import parse_hook_name

TITLE = "Readers of other libraries' files"
N = 1000
D_IN, D_SAE = 64, 256
"""Of the random activations; the others are as wide as the model, with as many latents as the trained SAE has."""
TRAINED, N_TEXTS = "embedded:jumprelu", 25
SOURCES = ("random", "real")
INTRODUCTION = f"""\
SAELens 6.54.12, sparsify 1.3.3, circuit-tracer 0.5.0 and dictionary_learning 0.1.0 in an environment of their own, in
float32, on two sets of {N:,} activations. *random*: normal ones of {D_IN} numbers, SAEs of {D_SAE} latents with random
weights. *real*: those of the embedded SmolLM2-135M-Instruct at `blocks.10.hook_resid_post`, {N // N_TEXTS} tokens from
the start of each of {N_TEXTS} texts of its corpus without BOS, and encoder, decoder, biases and thresholds of the
embedded JumpReLU SAE (1,536 latents) wherever a layout has them; what a layout has besides (gates, skip paths,
attention) is random. Each library saves what it has made, and this package reads it. Files of Gemma Scope, Qwen Scope,
Llama Scope, Goodfire and mwhanna are written by this package and read by both: on the other side by SAELens' loaders of
these formats, with the hub replaced by the folder.

Codes and reconstructions: the largest difference of any number, divided by the largest of all {N:,} activations'. Codes
are those of unit decoder rows where the norms can be folded. Mean L0 counts codes that are not 0. A latent may be on on
one side alone where it sits *at an edge*: where its code is within {ALLOWED:g} of the largest code from the threshold
of that latent, or, in SAEs that take the k largest, from the smallest code that the other side took of that token.
There float32, whose sums are rounded in another order, decides, and the code jumps. How many there are is stated; such
a code and that token's reconstruction are left out of the differences. Nothing else is.

The last part counts what of SAELens' list of pretrained SAEs is of a kind that is read.
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
    """Differences of every reader on random and on real activations, then the entries of SAELens' list."""
    rows = []
    for source in SOURCES:
        folder = work / "readers" / source
        if run:
            _write_inputs(folder, source)
            _run_reference(folder)
        x_ND = load_file(folder / "inputs.safetensors")["x"]
        for path in sorted((folder / "out").glob("*.safetensors")):
            rows += _rows(path.stem, source, folder, load_file(path), x_ND)
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


def _write_inputs(folder: Path, source: str) -> None:
    """The activations, trained weights for real ones, and the repositories that both sides read."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if source == "random":
        x_ND, trained = torch.randn(N, D_IN, generator=torch.Generator().manual_seed(0)), {}
    else:
        x_ND, trained = _real()
        save_file(trained, folder / "trained.safetensors")
    d_in, d_sae = x_ND.shape[1], len(trained["b_enc"]) if trained else D_SAE
    save_file({"x": x_ND}, folder / "inputs.safetensors")
    cases = []
    for case in (case for case in CASES if case.name in _LOADERS):
        weights = case.weights(d_in=d_in, d_sae=d_sae)
        case.write(folder / "mirror" / case.repository, {name: trained.get(name, w) for name, w in weights.items()})
        sizes = {"d_in": d_in, "d_sae": d_sae, **({"d_out": d_in} if case.hooks[0] != case.hooks[1] else {})}
        cases.append(
            {
                "name": case.name,
                "loader": _LOADERS[case.name],
                "repo_id": case.repository,
                "folder": case.sae_id + _FILES.get(case.name, ""),
                "overrides": sizes,
                "scale": d_in**0.5 / NORM if case.scale != 1 else None,
            }
        )
    (folder / "inputs.json").write_text(json.dumps(cases))


def _real() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Activations of the embedded model, text after text, and the weights of an SAE that was trained on such."""
    (handle,) = resolve_spec(TRAINED)
    sae: Any = handle.load(LoadContext(torch.device("cpu"), torch.float32))
    hook, length = sae.cfg.hook_name, N // N_TEXTS
    lm = load_language_model("embedded", dtype="float32", device="cpu")
    texts = (lm.tokenize([text])[0] for text in load_corpus("embedded"))
    long_enough = (ids for ids in texts if len(ids) > length)
    ids_BL = torch.tensor([ids[: length + 1] for ids in itertools.islice(long_enough, N_TEXTS)])
    if not bool(lm.is_read(ids_BL[:, 1:]).all()):
        raise ValueError("a text of the corpus has special tokens inside")
    return lm.capture(ids_BL, [hook])[hook][:, 1:].flatten(0, 1).contiguous(), dict(sae.state_dict())


def _run_reference(folder: Path) -> None:
    arguments = ["--mirror", folder / "mirror", "--saved", folder / "saved", "--out", folder / "out"]
    arguments += ["--inputs", folder / "inputs.safetensors"]
    if (folder / "trained.safetensors").exists():
        arguments += ["--weights", folder / "trained.safetensors"]
    command = [str(readers_python()), str(SIDE / "run_readers.py"), *map(str, arguments)]
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, env={**inherited, "HF_HUB_OFFLINE": "1"})


def _rows(name: str, source: str, folder: Path, theirs: dict[str, torch.Tensor], x_ND: torch.Tensor) -> list[Row]:
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
    rows, at_edge_NF = [], torch.zeros_like(codes_NF, dtype=torch.bool)
    if _comparable(name):
        at_edge_NF = at_an_edge(expected_NF, codes_NF, getattr(sae, "threshold", None))
        rows = [
            _l0(f"{name}, {source}", expected_NF, codes_NF, int(at_edge_NF.sum())),
            _difference(f"{name}, {source}: codes", expected_NF, codes_NF, ~at_edge_NF),
        ]
    if "y" in theirs:
        whole_N = ~at_edge_NF.any(dim=1)
        y_ND = sae(x).view(len(x_ND), -1)
        rows.append(_difference(f"{name}, {source}: reconstructions", theirs["y"], y_ND, whole_N))
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


def _l0(what: str, theirs_NF: torch.Tensor, ours_NF: torch.Tensor, n_at_edge: int) -> Row:
    """Active codes per activation on both sides: some, not all, and as many but for those at an edge."""
    theirs, ours = ((codes_NF != 0).sum(dim=1).double().mean().item() for codes_NF in (theirs_NF, ours_NF))
    good = 0 < ours < ours_NF.shape[1] and abs(theirs - ours) <= n_at_edge / len(ours_NF) + 1e-9
    return Row(f"{what}: mean L0 of {ours_NF.shape[1]:,}", theirs, ours, f"{n_at_edge} at an edge", good)


def _difference(what: str, theirs: torch.Tensor, ours: torch.Tensor, counted: torch.Tensor) -> Row:
    """The largest difference of what counts."""
    difference = float((theirs.double() - ours.double()).abs()[counted].max() / theirs.abs().max())
    return Row(f"{what}, largest difference / largest value", 0.0, difference, f"{ALLOWED:g}", difference <= ALLOWED)
