"""A decoder matrix of one's own: alone, with least squares, with matching pursuit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_run_fixtures import data, lm, make_plan, one_thread, own_registry, words  # noqa: F401

from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.custom_saes.loading import load_member
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.errors import SAELoadError, SAEMismatchError, UsageError
from sae_bench.language_models import LanguageModel
from sae_bench.run.runner import RunPlan, run
from sae_bench.testing import check_sae, tiny_sae

HOOK = "blocks.1.hook_resid_post"
D, F = 32, 48


def matrix(n_latents: int = F) -> torch.Tensor:
    return torch.randn(n_latents, D, generator=torch.Generator().manual_seed(0))


def unit(W_FD: torch.Tensor) -> torch.Tensor:
    return W_FD / W_FD.norm(dim=1, keepdim=True)


def written(folder: Path, suffix: str = ".safetensors") -> Path:
    path = folder / f"mine{suffix}"
    if suffix == ".safetensors":
        save_file({"W_dec": matrix()}, path)
    elif suffix == ".npy":
        np.save(path, matrix().numpy())
    elif suffix == ".npz":
        np.savez(path, W_dec=matrix().numpy())
    else:
        torch.save({"W_dec": matrix()}, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".npy", ".npz", ".pt"])
def test_a_decoder_alone_has_unit_rows_and_no_codes(suffix: str, tmp_path: Path, context: LoadContext) -> None:
    (handle,) = resolve_spec(f"decoder:{written(tmp_path, suffix)}@{HOOK}")
    assert (handle.name, handle.hook_name) == (f"mine_decoder_{HOOK}", HOOK)
    sae: Any = handle.load(context)
    torch.testing.assert_close(sae.W_dec, unit(matrix()))
    assert not hasattr(sae, "W_enc")
    with pytest.raises(SAEMismatchError, match="without an encoder"):
        sae.encode(torch.zeros(2, D))


def test_path_takes_a_file_of_a_decoder_alone(tmp_path: Path, context: LoadContext) -> None:
    (handle,) = resolve_spec(f"path:{written(tmp_path)}")
    assert handle.load(context).cfg.architecture == "decoder"
    save_file({"W_dec": matrix(), "W_enc": matrix().T.contiguous()}, tmp_path / "mine.safetensors")
    with pytest.raises(SAELoadError, match="says what kind of SAE it is"):
        resolve_spec(f"path:{tmp_path}/mine.safetensors")


@pytest.mark.parametrize("n_latents", [20, F])
def test_least_squares_comes_closest(n_latents: int, tmp_path: Path, context: LoadContext, x_ND: torch.Tensor) -> None:
    b_dec = torch.linspace(-1, 1, D)
    save_file({"W_dec": matrix(n_latents), "b_dec": b_dec}, tmp_path / "mine.safetensors")
    (handle,) = resolve_spec(f"decoder:{tmp_path}/mine.safetensors:least_squares")
    sae: Any = handle.load(context)
    rows = unit(matrix(n_latents)).double()
    expected = torch.linalg.lstsq(rows.T, (x_ND - b_dec).double().T, driver="gelsd").solution.T
    torch.testing.assert_close(sae.encode(x_ND).double(), expected, rtol=1e-4, atol=1e-5)
    if n_latents >= D:
        torch.testing.assert_close(sae(x_ND), x_ND, rtol=1e-4, atol=1e-4)
    check_sae(sae)


def test_matching_pursuit_takes_so_many_latents(tmp_path: Path, context: LoadContext, x_ND: torch.Tensor) -> None:
    one, three = (
        resolve_spec(f"decoder:{written(tmp_path)}:matching_pursuit({k})")[0].load(context).encode(x_ND) for k in (1, 3)
    )
    products = x_ND @ unit(matrix()).T
    torch.testing.assert_close(one.amax(1), products.amax(1))
    assert ((one != 0).sum(1) == 1).all()
    assert (three != 0).sum(1).max() == 3


def test_files_and_specs_that_are_none(tmp_path: Path, context: LoadContext) -> None:
    with pytest.raises(SAELoadError, match="there is no file"):
        resolve_spec(f"decoder:{tmp_path}/other.safetensors")
    path = written(tmp_path)
    for wrong in ("matching_pursuit", "least_squares(3)"):
        with pytest.raises(UsageError, match="Allowed: decoder:"):
            resolve_spec(f"decoder:{path}:{wrong}")
    with pytest.raises(UsageError, match="hook"):
        resolve_spec(f"decoder:{path}@blocks.x")
    for content, message in (
        ({"W": matrix()}, "lacks W_dec"),
        ({"W_dec": matrix(), "W_enc": matrix().T.contiguous()}, "has W_enc"),
        ({"W_dec": matrix()[0].contiguous()}, r"W_dec has shape \(32,\)"),
        ({"W_dec": matrix(), "b_dec": torch.zeros(3)}, r"b_dec has shape \(3,\)"),
    ):
        save_file(content, path)
        with pytest.raises(SAELoadError, match=message):
            resolve_spec(f"decoder:{path}")[0].load(context)


def test_the_file_of_a_whole_sae_is_no_decoder_and_says_what_reads_it(tmp_path: Path, context: LoadContext) -> None:
    save_sae(tiny_sae("topk"), tmp_path / "whole")
    (of_file,) = resolve_spec(f"decoder:{tmp_path}/whole/sae.safetensors")
    with pytest.raises(SAELoadError, match=r"has W_enc, b_enc, k beside its decoder.*path:.*whole reads a whole SAE"):
        of_file.load(context)


def test_it_sits_where_the_run_says(lm: LanguageModel, tmp_path: Path, context: LoadContext) -> None:  # noqa: F811
    (handle,) = resolve_spec(f"decoder:{written(tmp_path)}")
    with pytest.raises(UsageError, match="--hook"):
        load_member(handle, context, lm)
    at = LoadContext(context.device, context.dtype, hook_name=HOOK)
    assert load_member(handle, at, lm).hook_name == HOOK


def test_a_run_of_a_decoder_and_nothing_else(make_plan: Callable[..., RunPlan], tmp_path: Path) -> None:  # noqa: F811
    summary = run(make_plan(resolve_spec(f"decoder:{written(tmp_path)}@{HOOK}"), evals=("core",)))
    assert not summary.failures
    assert len(summary.written) == 1


def test_what_needs_codes_says_so_and_the_others_run(make_plan: Callable[..., RunPlan], tmp_path: Path) -> None:  # noqa: F811
    specs = [f"decoder:{written(tmp_path)}@{HOOK}", f"decoder:{written(tmp_path)}@{HOOK}:matching_pursuit(4)"]
    handles = [handle for spec in specs for handle in resolve_spec(spec)]
    evals = ("core", "sparse_probing", "meta_structure")
    summary = run(make_plan(handles, evals=evals, settings={"meta_structure": {"train_steps": 3}}))
    found = {(path.parent.name, "pursuit" in path.name): json.loads(path.read_text()) for path in summary.written}
    assert found.keys() == {(name, with_encoder) for name in evals for with_encoder in (False, True)} - {
        ("sparse_probing", False)
    }
    (failure,) = summary.failures
    assert failure.eval_name == "sparse_probing"
    assert "needs codes" in failure.message
    assert "matching_pursuit(<latents per token>)" in failure.message
    alone, whole = (found["core", with_encoder] for with_encoder in (False, True))
    misc = "misc_metrics"
    for name in ("average_max_decoder_cosine_sim", "mean_abs_decoder_cosine_sim"):
        assert alone["eval_result_metrics"][misc][name] == whole["eval_result_metrics"][misc][name] != 0
    assert alone["eval_result_metrics"]["sparsity"]["l0"] is None
    assert alone["eval_result_metrics"]["model_performance_preservation"]["ce_loss_score"] is None
    assert "without an encoder" in json.dumps(alone["not_computed"])
    assert whole["eval_result_metrics"]["sparsity"]["l0"] > 0
