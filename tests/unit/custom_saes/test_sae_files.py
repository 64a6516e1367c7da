"""Our own format, Gemma Scope archives, and `path:` on whatever is in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from broken_tensors import check_that_broken_tensors_are_named

from sae_bench.custom_saes.jumprelu_sae import JumpReluSAE, load_gemma_scope_jumprelu_sae
from sae_bench.custom_saes.loaders.native import CLASSES, save_sae
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.errors import SAELoadError, UsageError
from sae_bench.testing import tiny_sae, tiny_transcoder

SAVED = ("relu", "topk", "topk_threshold", "batch_topk", "jumprelu", "gated", "pca")


# ---- save_sae and back


@pytest.mark.parametrize("architecture", SAVED)
@pytest.mark.parametrize("folder", [True, False])
def test_saved_saes_come_back_as_they_were(
    architecture: str, folder: bool, tmp_path: Path, context: LoadContext, x_ND: torch.Tensor
) -> None:
    sae = tiny_sae(architecture)
    sae.cfg.dataset_path = "some/corpus"
    target = tmp_path / "mine" if folder else tmp_path / "mine.safetensors"
    weights, config = save_sae(sae, target, metadata={"seed": 0})
    assert json.loads(config.read_text())["metadata"] == {"seed": 0}
    (handle,) = resolve_spec(f"path:{target}")
    assert handle.name == "mine_custom_sae"
    loaded = handle.load(context)
    assert loaded.cfg == sae.cfg
    assert torch.equal(loaded.encode(x_ND), sae.encode(x_ND))
    assert torch.equal(loaded.decode(sae.encode(x_ND)), sae(x_ND))
    assert sorted(p.name for p in weights.parent.iterdir()) == sorted([weights.name, config.name])


def test_float16_halves_the_matrices_and_keeps_the_rest(
    tmp_path: Path, context: LoadContext, x_ND: torch.Tensor
) -> None:
    from safetensors.torch import load_file

    sae = tiny_sae("batch_topk")
    weights, _ = save_sae(sae, tmp_path / "half.safetensors", dtype=torch.float16)
    dtypes = {name: value.dtype for name, value in load_file(weights).items()}
    assert dtypes["W_dec"] == dtypes["W_enc"] == torch.float16
    assert dtypes["threshold"] == dtypes["b_enc"] == torch.float32
    loaded = resolve_spec(f"path:{weights}")[0].load(context)
    assert loaded.W_dec.dtype == torch.float32
    torch.testing.assert_close(loaded.decode(sae.encode(x_ND)), sae(x_ND), rtol=1e-2, atol=1e-2)


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot save a IdentitySAE"):
        save_sae(tiny_sae("identity"), tmp_path / "x.safetensors")
    large = tiny_sae("relu")
    with torch.no_grad():
        large.W_enc[0, 0] = 1e6
    with pytest.raises(UsageError, match="W_enc does not fit"):
        save_sae(large, tmp_path / "x.safetensors", dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_several_formats_lists_them_all(tmp_path: Path) -> None:
    save_sae(tiny_sae("relu"), tmp_path / "suite" / "b.safetensors")
    save_sae(tiny_sae("relu"), tmp_path / "suite" / "a.safetensors")
    save_sae(tiny_sae("topk"), tmp_path / "suite" / "deep" / "one")
    names = [handle.name for handle in resolve_spec("path:suite", data_dir=tmp_path)]
    assert names == ["suite_a", "suite_b", "suite_deep_one"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "json", "class", "cfg", "k", "nan", "shape"])
def test_damaged_files_are_plain_errors(damage: str, tmp_path: Path, context: LoadContext) -> None:
    sae = tiny_sae("topk")
    if damage == "nan":
        with torch.no_grad():
            sae.b_dec[0] = float("nan")
    weights, config_path = save_sae(sae, tmp_path / "mine.safetensors")
    config = json.loads(config_path.read_text())
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:2000])
    elif damage == "empty":
        weights.write_bytes(b"")
    elif damage == "json":
        config_path.write_text("[1, 2")
    elif damage == "class":
        config_path.write_text(json.dumps({**config, "class": "NewSAE"}))
    elif damage == "cfg":
        config_path.write_text(json.dumps({**config, "cfg": {"d_in": 32}}))
    elif damage == "k":
        config_path.write_text(json.dumps({**config, "k": None}))
    elif damage == "shape":
        config["cfg"]["d_sae"] = 65
        config_path.write_text(json.dumps(config))
    with pytest.raises(SAELoadError, match=r"mine|b_dec of this SAE holds 1 NaN"):
        resolve_spec(f"path:{weights}")[0].load(context)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_missing_extra_and_misshaped_tensors_are_named(name: str, tmp_path: Path, context: LoadContext) -> None:
    row = CLASSES[name]
    sae = tiny_transcoder(row.name) if row.is_transcoder else tiny_sae(row.name)
    weights, _ = save_sae(sae, tmp_path / "mine.safetensors")
    (handle,) = resolve_spec(f"path:{weights}")
    check_that_broken_tensors_are_named(weights, lambda: handle.load(context))


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SAELoadError, match="there is no"):
        resolve_spec(f"path:{tmp_path}/none")
    with pytest.raises(SAELoadError) as error:
        resolve_spec(f"path:{tmp_path}")
    for file in ("save_sae", "sae_weights.safetensors", "ae.pt"):
        assert file in str(error.value)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SAELoadError, match=r"no \.safetensors file"):
        resolve_spec(f"path:{tmp_path}/notes.txt")
    (tmp_path / "alone.safetensors").write_bytes(b"x")
    with pytest.raises(SAELoadError, match=r"has no 'alone\.json' beside it"):
        resolve_spec(f"path:{tmp_path}/alone.safetensors")


# ---- Gemma Scope

PATH = "layer_20/width_16k/average_l0_71"


def _gemma_scope(folder: Path, **changes: np.ndarray) -> JumpReluSAE:
    """A params.npz under the repository's layout, and the same SAE."""
    sae = tiny_sae("jumprelu", d_in=12, d_sae=20)
    arrays = {name: value.numpy() for name, value in sae.state_dict().items()}
    (folder / PATH).mkdir(parents=True)
    np.savez(folder / PATH / "params.npz", **{**arrays, **changes})
    return sae


@pytest.mark.parametrize(
    ("repository", "hook_name", "model_name"),
    [
        ("gemma-scope-2b-pt-res", "blocks.20.hook_resid_post", "gemma-2-2b"),
        ("gemma-scope-9b-it-res", "blocks.20.hook_resid_post", "gemma-2-9b-it"),
        ("gemma-scope-2b-pt-att", "blocks.20.attn.hook_z", "gemma-2-2b"),
        ("gemma-scope-27b-pt-mlp", "blocks.20.hook_mlp_out", "gemma-2-27b"),
    ],
)
def test_gemma_scope_names_tell_hook_and_model(
    repository: str, hook_name: str, model_name: str, tmp_path: Path, context: LoadContext
) -> None:
    expected = _gemma_scope(tmp_path / "google" / repository)
    (handle,) = resolve_spec(f"gemma_scope:google/{repository}:{PATH}/params.npz", data_dir=tmp_path)
    assert (handle.release, handle.sae_id) == (repository, PATH)
    assert (handle.hook_name, handle.model_name) == (hook_name, model_name)
    sae = handle.load(context)
    x = torch.randn(9, 12)
    assert torch.equal(sae.encode(x), expected.encode(x))
    assert (sae.cfg.hook_name, sae.cfg.hook_layer) == (hook_name, 20)


def test_the_published_gemma_scope_function(tmp_path: Path) -> None:
    _gemma_scope(tmp_path)
    sae = load_gemma_scope_jumprelu_sae(
        str(tmp_path), f"{PATH}/params.npz", 20, "gemma-2-2b", torch.device("cpu"), torch.bfloat16
    )
    assert (sae.dtype, sae.cfg.hook_name) == (torch.bfloat16, "blocks.20.hook_resid_post")


def test_gemma_scope_errors(tmp_path: Path, context: LoadContext) -> None:
    _gemma_scope(tmp_path / "g", b_dec=np.array([{"code": 1}], dtype=object))
    with pytest.raises(SAELoadError, match="cannot read"):
        resolve_spec(f"gemma_scope:{tmp_path}/g:{PATH}")[0].load(context)
    _gemma_scope(tmp_path / "h", threshold=np.zeros(3, dtype=np.float32))
    with pytest.raises(SAELoadError, match=r"threshold has shape \(3,\)"):
        resolve_spec(f"gemma_scope:{tmp_path}/h:{PATH}")[0].load(context)
    params = tmp_path / "h" / PATH / "params.npz"
    params.write_bytes(params.read_bytes()[:500])
    with pytest.raises(SAELoadError, match="cannot read"):
        resolve_spec(f"gemma_scope:{tmp_path}/h:{PATH}")[0].load(context)
    with pytest.raises(SAELoadError, match=f"it has: {PATH}"):
        resolve_spec(f"gemma_scope:{tmp_path}/h:layer_1/other")[0].load(context)
    with pytest.raises(SAELoadError, match="names no layer"):
        resolve_spec(f"gemma_scope:{tmp_path}/h:width_16k")
