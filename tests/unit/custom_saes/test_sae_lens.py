"""SAELens: folders it saved, its objects behind the adapter (a stand-in, and the real thing where installed)."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import decode_tokens, decoder_is_linear, encode_tokens, encoder_bias, output_hook
from sae_bench.custom_saes.loaders import sae_lens
from sae_bench.custom_saes.sae_lens_adapter import SAELensAdapter
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.errors import PrerequisiteError, SAELoadError, UnknownNameError, UsageError
from sae_bench.testing import check_sae

D, F, K = 12, 20, 4
needs_sae_lens = pytest.mark.skipif(importlib.util.find_spec("sae_lens") is None, reason="sae-lens is not installed")


def _weights(architecture: str) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    weights = {
        "W_enc": torch.randn(D, F, generator=g) / D**0.5,
        "W_dec": torch.randn(F, D, generator=g),
        "b_dec": 0.3 * torch.randn(D, generator=g),
    }
    small_F = 0.1 * torch.randn(F, generator=g)
    if architecture == "gated":
        return {**weights, "b_gate": small_F, "r_mag": small_F.flip(0), "b_mag": 2 * small_F}
    if architecture == "jumprelu":
        return {**weights, "b_enc": small_F, "threshold": small_F.abs() + 0.2}
    return {**weights, "b_enc": small_F}


def _config(architecture: str, **changes: Any) -> dict[str, Any]:
    config = {
        "d_in": D,
        "d_sae": F,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "architecture": architecture,
        "metadata": {
            "sae_lens_version": "6.54.12",
            "model_name": "gpt2-small",
            "hook_name": "blocks.8.hook_resid_pre",
            "context_size": 128,
            "prepend_bos": False,
        },
    }
    if architecture == "topk":
        config["k"] = K
        config["rescale_acts_by_decoder_norm"] = True
    return {**config, **changes}


def _save(folder: Path, architecture: str, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_weights(architecture), folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(_config(architecture, **changes)))
    return folder


def _formula(w: dict[str, torch.Tensor], config: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    """Reconstruction as SAELens defines it for these four architectures."""
    x_in = x - w["b_dec"] * config["apply_b_dec_to_input"]
    if config["architecture"] == "gated":
        gate = x_in @ w["W_enc"] + w["b_gate"] > 0
        codes = gate * torch.relu(x_in @ (w["W_enc"] * w["r_mag"].exp()) + w["b_mag"])
    else:
        pre = x_in @ w["W_enc"] + w["b_enc"]
        codes = torch.relu(pre)
        if config["architecture"] == "jumprelu":
            codes = codes * (pre > w["threshold"])
        if config["architecture"] == "topk":
            norm = w["W_dec"].norm(dim=1) if config["rescale_acts_by_decoder_norm"] else torch.ones(F)
            ranked = pre * norm
            codes = torch.relu(ranked) * (ranked >= ranked.topk(K).values[:, -1:]) / norm
    return codes @ w["W_dec"] + w["b_dec"]


def _x() -> torch.Tensor:
    return torch.randn(30, D, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("apply_b_dec", [True, False])
@pytest.mark.parametrize("architecture", ["standard", "topk", "gated", "jumprelu"])
def test_saved_folders_read_without_sae_lens(
    architecture: str, apply_b_dec: bool, tmp_path: Path, context: LoadContext
) -> None:
    folder = _save(tmp_path / "mine", architecture, apply_b_dec_to_input=apply_b_dec)
    (handle,) = resolve_spec(f"path:{folder}")
    assert (handle.name, handle.model_name) == ("mine_custom_sae", "gpt2-small")
    sae = handle.load(context)
    expected = _formula(_weights(architecture), _config(architecture, apply_b_dec_to_input=apply_b_dec), _x())
    torch.testing.assert_close(sae.decode(sae.encode(_x())), expected, rtol=1e-4, atol=1e-4)
    assert sae.check_decoder_norms()  # type: ignore[attr-defined]
    assert (sae.cfg.hook_name, sae.cfg.hook_layer) == ("blocks.8.hook_resid_pre", 8)
    assert (sae.cfg.context_size, sae.cfg.prepend_bos) == (128, False)


def test_configurations_from_before_version_6(tmp_path: Path, context: LoadContext) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    save_file(_weights("standard"), folder / "sae_weights.safetensors")
    old = {"d_in": D, "d_sae": F, "hook_point": "blocks.3.hook_mlp_out", "model_name": "gpt2", "hook_point_layer": 3}
    topk = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "normalize_activations": False}
    (folder / "cfg.json").write_text(json.dumps({**old, **topk}))
    (handle,) = resolve_spec(f"path:{folder}")
    assert handle.hook_name == "blocks.3.hook_mlp_out"
    codes = handle.load(context).encode(_x())
    assert ((codes > 0).sum(1) <= K).all()


@pytest.mark.parametrize(
    ("architecture", "changes", "message"),
    [("standard", {"metadata": {}}, "names no hook"), ("topk", {"k": "many"}, "k = 'many'")],
)
def test_unusable_configurations(
    architecture: str, changes: dict[str, Any], message: str, tmp_path: Path, context: LoadContext
) -> None:
    folder = _save(tmp_path, architecture, **changes)
    with pytest.raises(SAELoadError, match=message):
        resolve_spec(f"path:{folder}")[0].load(context)


@pytest.mark.skipif(importlib.util.find_spec("sae_lens") is not None, reason="sae-lens is installed")
def test_without_sae_lens_the_error_says_how_to_get_it(tmp_path: Path, context: LoadContext) -> None:
    with pytest.raises(PrerequisiteError, match=r"pip install 'sae-lens>=6\.0'"):
        resolve_spec("sae_lens:.*:.*")
    folder = _save(tmp_path, "standard", normalize_activations="layer_norm")
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
        for name, value in _weights(architecture).items():
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
    torch.testing.assert_close(adapter(_x()), plain.decode(plain.encode(_x())))
    codes = encode_tokens(adapter, _x())
    torch.testing.assert_close(decode_tokens(adapter, codes), plain.decode(plain.encode(_x())))


def test_heads_are_flat_even_if_the_object_has_seen_real_ones() -> None:
    inner = _Inner(reshape="hook_z")
    inner.encode(_x().unflatten(-1, (3, 4)))
    adapter = SAELensAdapter(inner)
    plain = _Inner()
    torch.testing.assert_close(adapter.decode(adapter.encode(_x())), plain.decode(plain.encode(_x())))


def test_normalised_tokens_can_be_decoded_again_but_not_others() -> None:
    adapter = SAELensAdapter(_Inner(normalize="layer_norm"))
    codes = adapter.encode(_x())
    assert torch.equal(adapter.decode(codes), adapter.decode(codes))
    with pytest.raises(UsageError, match="the tokens it encoded last"):
        adapter.decode(codes[:7])


def test_the_adapter_presents_our_configuration_and_folds() -> None:
    adapter = SAELensAdapter(_Inner())
    assert (adapter.cfg.architecture, adapter.cfg.context_size, adapter.cfg.hook_layer) == ("standard", 64, 4)
    assert encoder_bias(adapter) is adapter.inner.b_enc
    expected = adapter(_x())
    assert fold_decoder_norm(adapter) == []
    torch.testing.assert_close(adapter.W_dec.norm(dim=1), torch.ones(F))
    torch.testing.assert_close(adapter(_x()), expected, rtol=1e-4, atol=1e-5)
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


# ---- the real thing


@needs_sae_lens
@pytest.mark.parametrize("normalize", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("architecture", ["standard", "topk", "gated", "jumprelu"])
def test_folders_saved_by_sae_lens_give_its_numbers(
    architecture: str, normalize: str, tmp_path: Path, context: LoadContext
) -> None:
    from sae_lens import SAE

    config = _config(architecture, normalize_activations=normalize)
    saved = SAE.from_dict(config)
    saved.load_state_dict(_weights(architecture))
    saved.save_model(tmp_path / "real")
    sae = resolve_spec(f"path:{tmp_path}/real")[0].load(context)
    assert isinstance(sae, SAELensAdapter) == (normalize != "none")
    torch.testing.assert_close(sae.decode(sae.encode(_x())), saved.decode(saved.encode(_x())), rtol=1e-4, atol=1e-4)
    check_sae(sae)
    assert (sae.W_dec.norm(dim=1) - 1).abs().max() < 1e-5


@needs_sae_lens
def test_heads_of_a_real_object() -> None:
    from sae_lens import SAE

    metadata = {**_config("standard")["metadata"], "hook_name": "blocks.4.attn.hook_z"}
    config = _config("standard", reshape_activations="hook_z", metadata=metadata)
    real = SAE.from_dict(config)
    real.load_state_dict(_weights("standard"))
    adapter = SAELensAdapter(real)
    expected = _formula(_weights("standard"), config, _x())
    torch.testing.assert_close(adapter(_x()), expected, rtol=1e-4, atol=1e-4)


@needs_sae_lens
def test_the_real_list_of_releases() -> None:
    unknown = {h.release for h in resolve_spec("sae_lens:.*:.*") if h.hook_name is None}
    assert {name for name in unknown if "transcoder" not in name and "-clt-" not in name} == set()
    handles = resolve_spec(r"sae_lens:gemma-scope-2b-pt-res:layer_12/width_16k/.*")
    assert handles
    assert {h.hook_name for h in handles} == {"blocks.12.hook_resid_post"}
    assert {h.model_name for h in handles} == {"gemma-2-2b"}


# ---- scales and functions that a folder states


def _scaled(folder: Path, architecture: str, factor: object, **changes: Any) -> Path:
    _save(folder, architecture, **{"normalize_activations": "expected_average_only_in", **changes})
    if factor is not None:
        (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": factor}))
    return folder


@pytest.mark.parametrize("architecture", ["standard", "topk", "gated", "jumprelu"])
def test_the_scale_beside_a_checkpoint_is_honoured(architecture: str, tmp_path: Path, context: LoadContext) -> None:
    sae = resolve_spec(f"path:{_scaled(tmp_path, architecture, 0.25)}")[0].load(context)
    expected = _formula(_weights(architecture), _config(architecture), 0.25 * _x()) / 0.25
    torch.testing.assert_close(sae.decode(sae.encode(_x())), expected, rtol=1e-4, atol=1e-4)
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
    weights = _weights("standard")
    scale_F = torch.linspace(0.5, 2.0, F)
    for name, flag in (("with", True), ("without", False)):
        folder = _save(tmp_path / name, "standard", finetuning_scaling_factor=flag)
        save_file({**weights, "scaling_factor": scale_F}, folder / "sae_weights.safetensors")
    sae = resolve_spec(f"path:{tmp_path}/with")[0].load(context)
    expected = _formula({**weights, "W_dec": scale_F[:, None] * weights["W_dec"]}, _config("standard"), _x())
    torch.testing.assert_close(sae.decode(sae.encode(_x())), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(SAELoadError, match="holds a scaling_factor"):
        resolve_spec(f"path:{tmp_path}/without")[0].load(context)


@needs_sae_lens
@pytest.mark.parametrize("architecture", ["transcoder", "skip_transcoder", "jumprelu_transcoder"])
def test_transcoders_of_sae_lens_behind_the_adapter(architecture: str) -> None:
    from sae_lens.registry import get_sae_class

    sae_class, config_class = get_sae_class(architecture)
    metadata = {"hook_name": "blocks.3.mlp.hook_in", "hook_name_out": "blocks.3.hook_mlp_out", "model_name": "gpt2"}
    config = {"architecture": architecture, "d_in": D, "d_out": D + 2, "d_sae": F, "apply_b_dec_to_input": False}
    inner = sae_class(config_class.from_dict({**config, "dtype": "float32", "device": "cpu", "metadata": metadata}))
    with torch.no_grad():
        for value in inner.parameters():
            value.normal_(generator=torch.Generator().manual_seed(0))
    adapter = SAELensAdapter(inner)
    codes, y = inner.encode(_x()), inner(_x())
    norm_F = inner.W_dec.norm(dim=1)
    fold_decoder_norm(adapter)
    torch.testing.assert_close(adapter.encode(_x()), codes * norm_F, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(adapter(_x()), y, rtol=1e-4, atol=1e-4)
    assert (adapter.cfg.hook_name, output_hook(adapter)) == ("blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out")
    check_sae(adapter.to(dtype=torch.float64))
