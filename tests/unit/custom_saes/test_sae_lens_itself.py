"""SAELens itself, the newest: `make sae-lens` runs these; without it they are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sae_lens_folders import D, F, lens_config, lens_formula, lens_input, lens_weights

from sae_bench.custom_saes.architectures import SAE_LENS
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import output_hook
from sae_bench.custom_saes.loaders import sae_lens as loader
from sae_bench.custom_saes.sae_lens_adapter import SAELensAdapter
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, resolve_spec
from sae_bench.custom_saes.temporal_sae import TemporalSAE
from sae_bench.testing import check_sae

pytest.importorskip("sae_lens")


@pytest.fixture(scope="module")
def listed() -> list[SAEHandle]:
    """Every entry of the list; reading it takes SAELens seconds."""
    return resolve_spec("sae_lens:.*:.*")


@pytest.mark.parametrize("normalize", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("architecture", ["standard", "topk", "gated", "jumprelu"])
def test_folders_saved_by_sae_lens_give_its_numbers(
    architecture: str, normalize: str, tmp_path: Path, context: LoadContext
) -> None:
    from sae_lens import SAE

    config = lens_config(architecture, normalize_activations=normalize)
    saved = SAE.from_dict(config)
    saved.load_state_dict(lens_weights(architecture))
    saved.save_model(tmp_path / "real")
    sae = resolve_spec(f"path:{tmp_path}/real")[0].load(context)
    assert isinstance(sae, SAELensAdapter) == (normalize != "none")
    torch.testing.assert_close(
        sae.decode(sae.encode(lens_input())), saved.decode(saved.encode(lens_input())), rtol=1e-4, atol=1e-4
    )
    check_sae(sae)
    assert (sae.W_dec.norm(dim=1) - 1).abs().max() < 1e-5


def test_every_architecture_that_sae_lens_has_is_known() -> None:
    from sae_lens.registry import SAE_CLASS_REGISTRY

    assert {*SAE_CLASS_REGISTRY} <= {*SAE_LENS}


def test_nearly_every_entry_of_the_list_is_of_a_format_that_is_known(listed: list[SAEHandle]) -> None:
    strange = [
        f"{handle.release}:{handle.sae_id}: {handle.limits}" for handle in listed if "not known" in handle.limits
    ]
    assert len(listed) - len(strange) >= 13_800, strange
    assert {handle.limits for handle in listed if "-clt-" in handle.release} == {loader.CODES_ONLY}


@pytest.mark.parametrize("tied", [True, False])
def test_temporal_saes_of_the_list_are_read_as_ours(tied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import sae_lens

    config = {
        "architecture": "temporal", "d_in": D, "d_sae": 32, "dtype": "float32", "device": "cpu", "tied_weights": tied,
        "n_heads": 2, "bottleneck_factor": 4, "kval_topk": 5, "normalize_activations": "constant_scalar_rescale",
        "activation_normalization_factor": 0.03, "apply_b_dec_to_input": True,
        "metadata": {"model_name": "gpt2", "hook_name": "blocks.3.hook_resid_post"},
    }  # fmt: skip
    real = sae_lens.SAE.from_dict(config)
    monkeypatch.setattr(sae_lens.SAE, "from_pretrained", lambda **_: real)
    sae = loader.load_release("r", "i", device="cpu", dtype=torch.float32)
    assert isinstance(sae, TemporalSAE)
    x_BLD = 30 * torch.randn(4, 250, D, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sae.encode(x_BLD), real.encode(x_BLD), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(sae(x_BLD), real(x_BLD), rtol=1e-5, atol=1e-4)
    assert (sae.cfg.hook_name, sae.cfg.model_name) == ("blocks.3.hook_resid_post", "gpt2")


def test_heads_of_a_real_object() -> None:
    from sae_lens import SAE

    metadata = {**lens_config("standard")["metadata"], "hook_name": "blocks.4.attn.hook_z"}
    config = lens_config("standard", reshape_activations="hook_z", metadata=metadata)
    real = SAE.from_dict(config)
    real.load_state_dict(lens_weights("standard"))
    adapter = SAELensAdapter(real)
    expected = lens_formula(lens_weights("standard"), config, lens_input())
    torch.testing.assert_close(adapter(lens_input()), expected, rtol=1e-4, atol=1e-4)


def test_the_real_list_of_releases(listed: list[SAEHandle]) -> None:
    unknown = {h.release for h in listed if h.hook_name is None}
    assert {name for name in unknown if "transcoder" not in name and "-clt-" not in name} == set()
    handles = [h for h in listed if h.release == "gemma-scope-2b-pt-res" and "layer_12/width_16k/" in h.sae_id]
    assert handles
    assert {h.hook_name for h in handles} == {"blocks.12.hook_resid_post"}
    assert {h.model_name for h in handles} == {"gemma-2-2b"}


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
    codes, y = inner.encode(lens_input()), inner(lens_input())
    norm_F = inner.W_dec.norm(dim=1)
    fold_decoder_norm(adapter)
    torch.testing.assert_close(adapter.encode(lens_input()), codes * norm_F, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(adapter(lens_input()), y, rtol=1e-4, atol=1e-4)
    assert (adapter.cfg.hook_name, output_hook(adapter)) == ("blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out")
    check_sae(adapter.to(dtype=torch.float64))
