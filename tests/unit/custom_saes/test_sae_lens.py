"""SAELens: folders it saved, and its objects behind the adapter, by a stand-in."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from sae_lens_folders import D, F, K, lens_config, lens_formula, lens_input, lens_weights, save_lens
from safetensors.torch import save_file

from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import decode_tokens, decoder_is_linear, encode_tokens, encoder_bias
from sae_bench.custom_saes.loaders import sae_lens
from sae_bench.custom_saes.sae_lens_adapter import SAELensAdapter
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.errors import PrerequisiteError, SAELoadError, UnknownNameError, UsageError
from sae_bench.testing import check_sae


@pytest.mark.parametrize("apply_b_dec", [True, False])
@pytest.mark.parametrize("architecture", ["standard", "topk", "gated", "jumprelu"])
def test_saved_folders_read_without_sae_lens(
    architecture: str, apply_b_dec: bool, tmp_path: Path, context: LoadContext
) -> None:
    folder = save_lens(tmp_path / "mine", architecture, apply_b_dec_to_input=apply_b_dec)
    (handle,) = resolve_spec(f"path:{folder}")
    assert (handle.name, handle.model_name) == ("mine_custom_sae", "gpt2-small")
    sae = handle.load(context)
    expected = lens_formula(
        lens_weights(architecture), lens_config(architecture, apply_b_dec_to_input=apply_b_dec), lens_input()
    )
    torch.testing.assert_close(sae.decode(sae.encode(lens_input())), expected, rtol=1e-4, atol=1e-4)
    assert sae.check_decoder_norms()  # type: ignore[attr-defined]
    assert (sae.cfg.hook_name, sae.cfg.hook_layer) == ("blocks.8.hook_resid_pre", 8)
    assert (sae.cfg.context_size, sae.cfg.prepend_bos) == (128, False)


def test_configurations_from_before_version_6(tmp_path: Path, context: LoadContext) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    save_file(lens_weights("standard"), folder / "sae_weights.safetensors")
    old = {"d_in": D, "d_sae": F, "hook_point": "blocks.3.hook_mlp_out", "model_name": "gpt2", "hook_point_layer": 3}
    topk = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "normalize_activations": False}
    (folder / "cfg.json").write_text(json.dumps({**old, **topk}))
    (handle,) = resolve_spec(f"path:{folder}")
    assert handle.hook_name == "blocks.3.hook_mlp_out"
    codes = handle.load(context).encode(lens_input())
    assert ((codes > 0).sum(1) <= K).all()


@pytest.mark.parametrize(
    ("architecture", "changes", "message"),
    [("standard", {"metadata": {}}, "names no hook"), ("topk", {"k": "many"}, "k = 'many'")],
)
def test_unusable_configurations(
    architecture: str, changes: dict[str, Any], message: str, tmp_path: Path, context: LoadContext
) -> None:
    folder = save_lens(tmp_path, architecture, **changes)
    with pytest.raises(SAELoadError, match=message):
        resolve_spec(f"path:{folder}")[0].load(context)


@pytest.mark.skipif(importlib.util.find_spec("sae_lens") is not None, reason="sae-lens is installed")
def test_without_sae_lens_the_error_says_how_to_get_it(tmp_path: Path, context: LoadContext) -> None:
    with pytest.raises(PrerequisiteError, match=r"pip install 'sae-lens>=6\.0'"):
        resolve_spec("sae_lens:.*:.*")
    folder = save_lens(tmp_path, "standard", normalize_activations="layer_norm")
    with pytest.raises(PrerequisiteError, match="pip install"):
        resolve_spec(f"path:{folder}")[0].load(context)


# ---- releases, with a stand-in for SAELens' list


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = {
        "gpt2-small-res-jb": SimpleNamespace(
            model="gpt2-small", saes_map={f"blocks.{i}.hook_resid_pre": "" for i in (1, 2, 10)}
        ),
        "gemma-scope-2b-pt-att": SimpleNamespace(model="gemma-2-2b", saes_map={"layer_3/width_16k/average_l0_9": ""}),
        "gemma-scope-2-1b-pt-mlp": SimpleNamespace(
            model="google/gemma-3-1b", saes_map={"layer_7_width_16k_l0_big": ""}
        ),
        "llama_scope_lxa_8x": SimpleNamespace(model="m", saes_map={"l5a_8x": ""}),
        "gpt2-small-hook-z-kk": SimpleNamespace(model="gpt2-small", saes_map={"blocks.0.hook_z": ""}),
        "some-transcoders": SimpleNamespace(model="m", saes_map={"layer_3": ""}),
    }
    monkeypatch.setattr(sae_lens, "pretrained_directory", lambda: listing)


@pytest.mark.usefixtures("directory")
def test_releases_and_ids_match_as_a_whole() -> None:
    handles = resolve_spec(r"sae_lens:gpt2.*:blocks\.1(?:0)?\.hook_resid_pre")
    assert [h.sae_id for h in handles] == ["blocks.1.hook_resid_pre", "blocks.10.hook_resid_pre"]
    assert [h.hook_name for h in handles] == ["blocks.1.hook_resid_pre", "blocks.10.hook_resid_pre"]
    assert handles[0].model_name == "gpt2-small"


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(
    ("release", "hook_name"),
    [
        ("gemma-scope-2b-pt-att", "blocks.3.attn.hook_z"),
        ("gemma-scope-2-1b-pt-mlp", "blocks.7.hook_mlp_out"),
        ("llama_scope_lxa_8x", "blocks.5.hook_attn_out"),
        ("gpt2-small-hook-z-kk", "blocks.0.attn.hook_z"),
        ("some-transcoders", None),
    ],
)
def test_releases_whose_ids_name_a_layer_only(release: str, hook_name: str | None) -> None:
    assert [h.hook_name for h in resolve_spec(f"sae_lens:{release}:.*")] == [hook_name]


@pytest.mark.usefixtures("directory")
def test_patterns_that_match_nothing_or_are_none() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean .*gpt2-small-res-jb"):
        resolve_spec("sae_lens:gpt2-small:.*")
    with pytest.raises(UnknownNameError, match=r"Did you mean .*blocks\.2\.hook_resid_pre"):
        resolve_spec(r"sae_lens:gpt2.*jb:blocks\.2\.")
    with pytest.raises(UnknownNameError, match=r"Closest: gemma-scope-2-1b-pt-mlp\."):
        resolve_spec("sae_lens:1b:.*")
    with pytest.raises(UsageError, match="no regular expression"):
        resolve_spec("sae_lens:gpt2[:.*")


# ---- the adapter on a stand-in with SAELens' interface


class _Inner(torch.nn.Module):
    """A standard SAE that behaves as SAELens' do: heads, layer norm with state between encode and decode."""

    def __init__(self, *, normalize: str = "none", reshape: str = "none", architecture: str = "standard") -> None:
        super().__init__()
        for name, value in lens_weights(architecture).items():
            setattr(self, name, torch.nn.Parameter(value))
        metadata = SimpleNamespace(model_name="gpt2-small", hook_name="blocks.4.attn.hook_z", context_size=64)
        self.cfg = SimpleNamespace(
            d_in=D, d_sae=F, k=K, architecture=lambda: architecture, normalize_activations=normalize,
            reshape_activations=reshape, metadata=metadata,
        )  # fmt: skip
        self.d_head: int | None = None

    def process_sae_in(self, x: torch.Tensor) -> torch.Tensor:
        if self.cfg.reshape_activations == "hook_z":
            self.d_head = self.d_head or x.shape[-1]
            x = x.flatten(-2)
        if self.cfg.normalize_activations == "layer_norm":
            self.ln_mu, self.ln_std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
            x = (x - self.ln_mu) / self.ln_std
        return x - self.b_dec

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        pre = self.process_sae_in(x) @ self.W_enc + self.b_enc
        if self.cfg.architecture() == "topk":
            top = pre.topk(K)
            return torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())
        return pre.relu()

    def decode(self, f: torch.Tensor) -> torch.Tensor:
        out = f @ self.W_dec + self.b_dec
        if self.cfg.normalize_activations == "layer_norm":
            out = out * self.ln_std + self.ln_mu
            del self.ln_std, self.ln_mu
        return out.unflatten(-1, (-1, self.d_head)) if self.d_head else out


@pytest.mark.parametrize("normalize", ["none", "layer_norm"])
@pytest.mark.parametrize("reshape", ["none", "hook_z"])
@pytest.mark.parametrize("architecture", ["standard", "topk"])
def test_the_adapter_keeps_the_contract(normalize: str, reshape: str, architecture: str) -> None:
    adapter = SAELensAdapter(_Inner(normalize=normalize, reshape=reshape, architecture=architecture))
    adapter.inner.requires_grad_(False)
    check_sae(adapter)
    assert decoder_is_linear(adapter) == (normalize == "none")
    plain = _Inner(normalize=normalize, architecture=architecture)
    torch.testing.assert_close(adapter(lens_input()), plain.decode(plain.encode(lens_input())))
    codes = encode_tokens(adapter, lens_input())
    torch.testing.assert_close(decode_tokens(adapter, codes), plain.decode(plain.encode(lens_input())))


def test_heads_are_flat_even_if_the_object_has_seen_real_ones() -> None:
    inner = _Inner(reshape="hook_z")
    inner.encode(lens_input().unflatten(-1, (3, 4)))
    adapter = SAELensAdapter(inner)
    plain = _Inner()
    torch.testing.assert_close(adapter.decode(adapter.encode(lens_input())), plain.decode(plain.encode(lens_input())))


def test_normalised_tokens_can_be_decoded_again_but_not_others() -> None:
    adapter = SAELensAdapter(_Inner(normalize="layer_norm"))
    codes = adapter.encode(lens_input())
    assert torch.equal(adapter.decode(codes), adapter.decode(codes))
    with pytest.raises(UsageError, match="the tokens it encoded last"):
        adapter.decode(codes[:7])


def test_the_adapter_presents_our_configuration_and_folds() -> None:
    adapter = SAELensAdapter(_Inner())
    assert (adapter.cfg.architecture, adapter.cfg.context_size, adapter.cfg.hook_layer) == ("standard", 64, 4)
    assert encoder_bias(adapter) is adapter.inner.b_enc
    expected = adapter(lens_input())
    assert fold_decoder_norm(adapter) == []
    torch.testing.assert_close(adapter.W_dec.norm(dim=1), torch.ones(F))
    torch.testing.assert_close(adapter(lens_input()), expected, rtol=1e-4, atol=1e-5)
    before = adapter.cfg
    assert adapter.to(dtype=torch.bfloat16).cfg.dtype == "bfloat16"
    assert before.dtype == "float32"
    (warning,) = fold_decoder_norm(SAELensAdapter(_Inner(architecture="topk")))
    assert "cannot be folded" in warning


def test_what_cannot_be_evaluated_and_broken_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = ModuleType("sae_lens")
    inner = _Inner()
    fake.SAE = SimpleNamespace(from_pretrained=lambda **_kwargs: (inner, {}, None))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sae_lens", fake)
    arguments: dict[str, Any] = {"device": "cpu", "dtype": torch.float32}
    assert isinstance(sae_lens.load_release("r", "i", **arguments), SAELensAdapter)
    for architecture, reason in (
        ("skip_transcoder", "names no hook that it predicts"),
        ("new", "known are abstopk"),
    ):
        inner.cfg.architecture = lambda architecture=architecture: architecture
        with pytest.raises(SAELoadError, match=reason):
            sae_lens.load_release("r", "i", **arguments)
    inner.cfg.architecture = lambda: "standard"
    with torch.no_grad():
        inner.b_enc[0] = float("inf")
    with pytest.raises(SAELoadError, match="b_enc of this SAE"):
        sae_lens.load_release("r", "i", **arguments)


# ---- scales and functions that a folder states


def _scaled(folder: Path, architecture: str, factor: object, **changes: Any) -> Path:
    save_lens(folder, architecture, **{"normalize_activations": "expected_average_only_in", **changes})
    if factor is not None:
        (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": factor}))
    return folder


@pytest.mark.parametrize("architecture", ["standard", "topk", "gated", "jumprelu"])
def test_the_scale_beside_a_checkpoint_is_honoured(architecture: str, tmp_path: Path, context: LoadContext) -> None:
    sae = resolve_spec(f"path:{_scaled(tmp_path, architecture, 0.25)}")[0].load(context)
    expected = lens_formula(lens_weights(architecture), lens_config(architecture), 0.25 * lens_input()) / 0.25
    torch.testing.assert_close(sae.decode(sae.encode(lens_input())), expected, rtol=1e-4, atol=1e-4)
    assert sae.caveats == ("the SAE reads 0.25 times the activations (activation_scaler.json)",)


def test_a_scale_that_is_not_known_is_a_caveat(tmp_path: Path, context: LoadContext) -> None:
    sae = resolve_spec(f"path:{_scaled(tmp_path, 'standard', None)}")[0].load(context)
    assert "the factor is not known" in sae.caveats[0]
    assert sae.trained_with == {"prepend_bos": False}


@pytest.mark.parametrize(
    ("factor", "changes", "message"),
    [
        (0.25, {"normalize_activations": "none"}, "cannot be told"),
        ("large", {}, "a positive number is needed"),
        (-1, {}, "a positive number is needed"),
        (None, {"activation_fn_str": "tanh-relu"}, "'tanh-relu', which no SAE here computes"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    factor: object, changes: dict[str, Any], message: str, tmp_path: Path, context: LoadContext
) -> None:
    (handle,) = resolve_spec(f"path:{_scaled(tmp_path, 'standard', factor, **changes)}")
    with pytest.raises(SAELoadError, match=message):
        handle.load(context)


def test_the_scale_of_finetuning_is_honoured_or_refused(tmp_path: Path, context: LoadContext) -> None:
    weights = lens_weights("standard")
    scale_F = torch.linspace(0.5, 2.0, F)
    for name, flag in (("with", True), ("without", False)):
        folder = save_lens(tmp_path / name, "standard", finetuning_scaling_factor=flag)
        save_file({**weights, "scaling_factor": scale_F}, folder / "sae_weights.safetensors")
    sae = resolve_spec(f"path:{tmp_path}/with")[0].load(context)
    expected = lens_formula(
        {**weights, "W_dec": scale_F[:, None] * weights["W_dec"]}, lens_config("standard"), lens_input()
    )
    torch.testing.assert_close(sae.decode(sae.encode(lens_input())), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(SAELoadError, match="holds a scaling_factor"):
        resolve_spec(f"path:{tmp_path}/without")[0].load(context)


def test_what_to_install_where_sae_lens_does_not_find_a_version_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sae_lens", None)  # importing it raises
    monkeypatch.setattr(sae_lens.metadata, "requires", lambda _: ["transformer-lens<4,>=2", "babe", "x; extra == 'x'"])
    monkeypatch.setattr(sae_lens.metadata, "version", {"transformer-lens": "4.3.0", "babe": "0.0.7"}.__getitem__)
    with pytest.raises(PrerequisiteError, match=r"pip install 'transformer-lens<4,>=2'$"):
        sae_lens.load_release("r", "i", device="cpu", dtype=torch.float32)
