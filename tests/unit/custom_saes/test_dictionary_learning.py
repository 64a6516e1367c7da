"""Checkpoints in the layouts that the trainer classes really write, with their key names and orientations."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from broken_tensors import check_that_broken_tensors_are_named

from sae_bench.custom_saes import batch_topk_sae, gated_sae, jumprelu_sae, relu_sae, topk_sae
from sae_bench.custom_saes.batch_topk_sae import BatchTopKSAE
from sae_bench.custom_saes.interface import output_hook
from sae_bench.custom_saes.loaders.dictionary_learning import TRAINERS
from sae_bench.custom_saes.spec import LoadContext, resolve_spec
from sae_bench.custom_saes.topk_sae import TopKSAE
from sae_bench.errors import SAEBenchError, SAELoadError, SAEMismatchError, UnknownNameError

D, F, K = 12, 20, 5
DICT_CLASSES = {
    "StandardTrainer": "AutoEncoder",
    "StandardTrainerAprilUpdate": "AutoEncoder",
    "PAnnealTrainer": "AutoEncoder",
    "TopKTrainer": "AutoEncoderTopK",
    "BatchTopKTrainer": "BatchTopKSAE",
    "MatryoshkaBatchTopKTrainer": "MatryoshkaBatchTopKSAE",
    "JumpReluTrainer": "JumpReluAutoEncoder",
    "GatedSAETrainer": "GatedAutoEncoder",
    "GatedAnnealTrainer": "GatedAutoEncoder",
}


def trained_state(trainer: str, *, unit: bool = True) -> dict[str, torch.Tensor]:
    """A state dict as `ae.state_dict()` of the trainer's dictionary class: nn.Linear weights, or plain parameters."""
    g = torch.Generator().manual_seed(0)
    rows_FD = torch.randn(F, D, generator=g)
    rows_FD = rows_FD / rows_FD.norm(dim=1, keepdim=True)
    if not unit:
        rows_FD = rows_FD * torch.linspace(0.5, 2.0, F)[:, None]
    enc_DF = torch.randn(D, F, generator=g) / D**0.5
    b_enc, b_dec = 0.1 * torch.randn(F, generator=g), 0.3 * torch.randn(D, generator=g)
    linear = {"encoder.weight": enc_DF.T.contiguous(), "decoder.weight": rows_FD.T.contiguous()}
    plain = {"W_enc": enc_DF, "W_dec": rows_FD, "b_enc": b_enc, "b_dec": b_dec}
    topk = {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(0.4)}
    if trainer in ("StandardTrainer", "StandardTrainerAprilUpdate", "PAnnealTrainer"):
        return {**linear, "encoder.bias": b_enc, "bias": b_dec}
    if trainer in ("TopKTrainer", "BatchTopKTrainer"):
        return {**linear, **topk, "encoder.bias": b_enc, "b_dec": b_dec}
    if trainer == "MatryoshkaBatchTopKTrainer":
        return {**plain, **topk, "group_sizes": torch.tensor([8, 12])}
    if trainer == "JumpReluTrainer":
        return {**plain, "threshold": torch.full((F,), 0.3)}
    gated = {"r_mag": 0.1 * b_enc, "gate_bias": b_enc, "mag_bias": b_enc.flip(0), "decoder_bias": b_dec}
    return {**linear, **gated}


def _formula(trainer: str, s: dict[str, torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes and reconstruction as the library's own encode and decode define them."""
    s = {name: value.double() for name, value in s.items()}
    W_enc = s["W_enc"] if "W_enc" in s else s["encoder.weight"].T
    W_dec = s["W_dec"] if "W_dec" in s else s["decoder.weight"].T
    b_dec = next(s[n] for n in ("b_dec", "bias", "decoder_bias", "decoder.bias") if n in s)
    x = x.double()
    if DICT_CLASSES[trainer] == "GatedAutoEncoder":
        shared = (x - b_dec) @ W_enc
        codes = (shared + s["gate_bias"] > 0) * torch.relu(s["r_mag"].exp() * shared + s["mag_bias"])
        return codes, codes @ W_dec + b_dec
    b_enc = s["b_enc"] if "b_enc" in s else s["encoder.bias"]
    if trainer == "JumpReluTrainer":
        pre = x @ W_enc + b_enc
        codes = torch.relu(pre * (pre > s["threshold"]))
        return codes, codes @ W_dec + b_dec
    codes = torch.relu((x - b_dec) @ W_enc + b_enc)
    if trainer == "TopKTrainer":
        codes = codes * (codes >= codes.topk(K).values[:, -1:])
    elif "BatchTopK" in trainer:
        codes = codes * (codes > s["threshold"])
    return codes, codes @ W_dec + b_dec


def _config(trainer: str, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "trainer_class": trainer,
        "dict_class": DICT_CLASSES.get(trainer, "AutoEncoder"),
        "activation_dim": D,
        "dict_size": F,
        "layer": 8,
        "lm_name": "EleutherAI/pythia-160m-deduped",
        "submodule_name": "resid_post_layer_8",
    }
    if "TopK" in trainer:
        fields["k"] = K
    return {"trainer": {**fields, **changes}, "buffer": {"ctx_len": 1024, "d_submodule": D}}


def _write(folder: Path, state: dict[str, Any], config: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "ae.pt")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _x() -> torch.Tensor:
    return torch.randn(40, D, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_trainer_class_reads_as_the_library_computes(trainer: str, tmp_path: Path, context: LoadContext) -> None:
    state = trained_state(trainer)
    _write(tmp_path / "sweep" / "resid_post_layer_8" / "trainer_0", state, _config(trainer))
    (handle,) = resolve_spec(f"dictionary_learning:{tmp_path}/sweep")
    assert (handle.release, handle.sae_id) == ("sweep", "resid_post_layer_8/trainer_0")
    assert handle.name == "sweep_resid_post_layer_8_trainer_0"
    assert handle.hook_name == "blocks.8.hook_resid_post"
    assert handle.model_name == "EleutherAI/pythia-160m-deduped"
    sae = handle.load(context)
    codes, reconstruction = _formula(trainer, state, _x())
    torch.testing.assert_close(sae.encode(_x()).double(), codes, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sae(_x()).double(), reconstruction, rtol=1e-4, atol=1e-5)
    assert sae.cfg.architecture == TRAINERS[trainer].trainer.architecture
    assert sae.cfg.context_size == 1024
    assert (sae.cfg.d_in, sae.cfg.d_sae) == (D, F)


@pytest.mark.parametrize("trainer", [t for t in TRAINERS if "TopK" not in t])
def test_a_decoder_that_is_not_unit_norm_is_folded(trainer: str, tmp_path: Path, context: LoadContext) -> None:
    state = trained_state(trainer, unit=False)
    _write(tmp_path, state, _config(trainer))
    sae = resolve_spec(f"path:{tmp_path}")[0].load(context)
    assert sae.check_decoder_norms()
    torch.testing.assert_close(sae(_x()).double(), _formula(trainer, state, _x())[1], rtol=1e-4, atol=1e-5)


def test_the_class_that_does_not_subtract_b_dec(tmp_path: Path, context: LoadContext) -> None:
    """AutoEncoderNew, the April update's first class: `decoder.bias` is added at the end and nowhere subtracted."""
    state = trained_state("StandardTrainerAprilUpdate")
    state["decoder.bias"] = state.pop("bias")
    _write(tmp_path, state, _config("StandardTrainerAprilUpdate", dict_class="AutoEncoderNew"))
    sae = resolve_spec(f"path:{tmp_path}")[0].load(context)
    codes = torch.relu(_x() @ state["encoder.weight"].T + state["encoder.bias"])
    torch.testing.assert_close(sae.encode(_x()), codes, rtol=1e-4, atol=1e-5)
    expected = codes @ state["decoder.weight"].T + state["decoder.bias"]
    torch.testing.assert_close(sae(_x()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "hook_name"),
    [
        ({"submodule_name": None}, "blocks.8.hook_resid_post"),
        ({"submodule_name": "attention_out_layer_8"}, "blocks.8.hook_attn_out"),
        ({"submodule_name": "mlp_out_layer_3", "layer": 3}, "blocks.3.hook_mlp_out"),
        ({"submodule_name": "resid_pre_layer_2", "layer": None}, "blocks.2.hook_resid_pre"),
    ],
)
def test_the_hook_comes_from_layer_and_submodule(changes: dict[str, Any], hook_name: str, tmp_path: Path) -> None:
    _write(tmp_path, trained_state("StandardTrainer"), _config("StandardTrainer", **changes))
    assert resolve_spec(f"dictionary_learning:{tmp_path}")[0].hook_name == hook_name


@pytest.mark.parametrize(
    ("submodule", "io", "expected"),
    [
        ("transformer.h.8", "out", "blocks.8.hook_resid_post"),
        ("transformer.h.8", "in", "blocks.8.hook_resid_pre"),
        ("resid_post_layer_8", "in", "blocks.8.hook_resid_pre"),
        ("gpt_neox.layers.8.attention", "out", "blocks.8.hook_attn_out"),
        ("model.layers.8.mlp", "out", "blocks.8.hook_mlp_out"),
        ("model.layers.8.mlp", "in", "blocks.8.mlp.hook_in"),
        ("model.layers.8.self_attn", "in", "reads the input of attention_out"),
        ("transformer.h.8", "in_and_out", "blocks.8.hook_resid_pre"),
        ("transformer.h.8", "sideways", "buffer.io is 'sideways'"),
        ("resid_postscript_layer_8", "out", "'resid_postscript_layer_8' is not known"),
        ("attention_pattern_layer_8", "out", "'attention_pattern_layer_8' is not known"),
        ("model.layers.8.mlp.down_proj", "out", "'model.layers.8.mlp.down_proj' is not known"),
        ("resid_post_layer_3", "out", "names layer 8 and, in trainer.submodule_name, layer 3"),
    ],
)
def test_a_module_and_a_direction_are_known_or_refused(
    submodule: str, io: str, expected: str, tmp_path: Path, context: LoadContext
) -> None:
    config = _config("StandardTrainer", submodule_name=submodule)
    config["buffer"]["io"] = io
    _write(tmp_path, trained_state("StandardTrainer"), config)
    (handle,) = resolve_spec(f"dictionary_learning:{tmp_path}")
    if expected.startswith("blocks"):
        assert handle.hook_name == handle.load(context).cfg.hook_name == expected
    else:
        assert handle.hook_name is None
        with pytest.raises(SAELoadError, match=re.escape(expected)):
            handle.load(context)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_transcoders_compute_what_their_class_computes(trainer: str, tmp_path: Path, context: LoadContext) -> None:
    """From a module's input to its output, `b_dec` subtracted from the one and added to the other as the class does."""
    state = trained_state(trainer, unit=False)
    config = _config(trainer, submodule_name="model.layers.8.mlp")
    config["buffer"]["io"] = "in_and_out"
    _write(tmp_path, state, config)
    (handle,) = resolve_spec(f"dictionary_learning:{tmp_path}")
    if DICT_CLASSES[trainer] == "GatedAutoEncoder":
        with pytest.raises(SAELoadError, match="a transcoder of the class Gated"):
            handle.load(context)
        return
    sae = handle.load(context)
    codes, prediction = _formula(trainer, state, _x())
    norm_F = torch.linspace(0.5, 2.0, F) if trainer != "TopKTrainer" else torch.ones(F)
    torch.testing.assert_close(sae.encode(_x()).double(), codes * norm_F, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sae(_x()).double(), prediction, rtol=1e-4, atol=1e-5)
    assert (sae.cfg.hook_name, output_hook(sae)) == ("blocks.8.mlp.hook_in", "blocks.8.hook_mlp_out")


def test_one_broken_configuration_does_not_hide_the_other_saes(tmp_path: Path, context: LoadContext) -> None:
    for name in ("a", "b"):
        _write(tmp_path / name, trained_state("TopKTrainer"), _config("TopKTrainer"))
    (tmp_path / "a" / "config.json").write_text("{ not json")
    broken, good = resolve_spec(f"dictionary_learning:{tmp_path}")
    assert (broken.sae_id, good.sae_id) == ("a", "b")
    assert isinstance(good.load(context), TopKSAE)
    with pytest.raises(SAELoadError, match="cannot read"):
        broken.load(context)


def test_saes_are_listed_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        _write(tmp_path / f"trainer_{number}", trained_state("TopKTrainer"), _config("TopKTrainer"))
    (tmp_path / "config.json").write_text(json.dumps({"model": "not an SAE"}))
    assert [h.sae_id for h in resolve_spec(f"dictionary_learning:{tmp_path}")] == [
        "trainer_1",
        "trainer_2",
        "trainer_10",
    ]


def test_a_mirror_goes_before_the_hub(tmp_path: Path) -> None:
    _write(tmp_path / "org" / "saes" / "trainer_0", trained_state("TopKTrainer"), _config("TopKTrainer"))
    (handle,) = resolve_spec("dictionary_learning:org/saes", data_dir=tmp_path)
    assert handle.release == "saes"


COMPAT = {
    "StandardTrainer": relu_sae.load_dictionary_learning_relu_sae,
    "TopKTrainer": topk_sae.load_dictionary_learning_topk_sae,
    "BatchTopKTrainer": batch_topk_sae.load_dictionary_learning_batch_topk_sae,
    "MatryoshkaBatchTopKTrainer": batch_topk_sae.load_dictionary_learning_matryoshka_batch_topk_sae,
    "JumpReluTrainer": jumprelu_sae.load_dictionary_learning_jump_relu_sae,
    "GatedSAETrainer": gated_sae.load_dictionary_learning_gated_sae,
}


@pytest.mark.parametrize("trainer", COMPAT)
def test_the_published_loader_functions(trainer: str, tmp_path: Path) -> None:
    _write(tmp_path / "sub", trained_state(trainer), _config(trainer))
    arguments = (str(tmp_path), "sub/ae.pt", "pythia-160m-deduped", torch.device("cpu"), torch.bfloat16)
    sae = COMPAT[trainer](*arguments, layer=8)
    assert (sae.dtype, sae.cfg.model_name, sae.cfg.hook_layer) == (torch.bfloat16, "pythia-160m-deduped", 8)
    with pytest.raises(SAEMismatchError, match="layer 7 was asked"):
        COMPAT[trainer](*arguments, layer=7)
    other = next(
        name for name in COMPAT if TRAINERS[name].architecture.sae_class != TRAINERS[trainer].architecture.sae_class
    )
    with pytest.raises(SAEMismatchError, match="was asked"):
        COMPAT[other](*arguments)
    with pytest.raises(SAEMismatchError, match="trained on"):
        COMPAT[trainer](str(tmp_path), "sub/ae.pt", "gemma-2-2b", "cpu", torch.float32)


def test_topk_can_use_its_threshold(tmp_path: Path) -> None:
    _write(tmp_path, trained_state("TopKTrainer"), _config("TopKTrainer"))
    sae = topk_sae.load_dictionary_learning_topk_sae(
        str(tmp_path), "ae.pt", "pythia-160m-deduped", "cpu", torch.float32, use_threshold_at_inference=True
    )
    assert isinstance(sae, TopKSAE)
    codes = sae.encode(_x())
    assert (codes[codes != 0] > 0.4).all()
    assert len(set((codes != 0).sum(1).tolist())) > 1


def _without(name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in trained_state("TopKTrainer").items() if key != name}


@pytest.mark.parametrize(
    ("state", "changes", "message"),
    [
        (_without("encoder.weight"), {}, "lacks encoder.weight"),
        (_without("encoder.bias"), {}, "lacks encoder.bias"),
        ({**trained_state("TopKTrainer"), "surprise": torch.zeros(2)}, {}, "has surprise"),
        (
            {**trained_state("TopKTrainer"), "b_dec": torch.zeros(D + 1)},
            {},
            r"b_dec has shape \(13,\); \(12,\) fits encoder.weight",
        ),
        (
            {**trained_state("TopKTrainer"), "b_dec": torch.full((D,), float("nan"))},
            {},
            "b_dec of this SAE holds 12 NaN",
        ),
        (trained_state("TopKTrainer"), {"k": 6}, "k is 5 in the weights and 6"),
        (_without("k"), {"k": None}, "k = None"),
        (_without("k"), {"k": 21}, "k = 21"),
        ({"weights": [1, 2]}, {}, "are no tensors"),
    ],
)
def test_unusable_checkpoints_are_plain_errors(
    state: dict[str, Any], changes: dict[str, Any], message: str, tmp_path: Path, context: LoadContext
) -> None:
    _write(tmp_path, state, _config("TopKTrainer", **changes))
    (handle,) = resolve_spec(f"dictionary_learning:{tmp_path}")
    with pytest.raises(SAELoadError, match=message):
        handle.load(context)


@pytest.mark.parametrize("io", ["out", "in_and_out"])
@pytest.mark.parametrize("trainer", TRAINERS)
def test_missing_extra_and_misshaped_tensors_are_named(
    trainer: str, io: str, tmp_path: Path, context: LoadContext
) -> None:
    config = _config(trainer, submodule_name="mlp_out_layer_8")
    _write(tmp_path, trained_state(trainer), {**config, "buffer": {"io": io}})
    (handle,) = resolve_spec(f"dictionary_learning:{tmp_path}")
    if io == "in_and_out" and "Gated" in trainer:
        pytest.skip("gated transcoders are refused")
    optional = ("k", "group_sizes", *([] if trainer == "JumpReluTrainer" else ["threshold"]))
    check_that_broken_tensors_are_named(
        tmp_path / "ae.pt", lambda: handle.load(context), optional=optional, of_any_shape=("group_sizes",)
    )


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_corrupt_and_truncated_weights_are_plain_errors(
    content: bytes | None, tmp_path: Path, context: LoadContext
) -> None:
    _write(tmp_path, trained_state("TopKTrainer"), _config("TopKTrainer"))
    weights = tmp_path / "ae.pt"
    weights.write_bytes(weights.read_bytes()[:900] if content is None else content)
    (handle,) = resolve_spec(f"dictionary_learning:{tmp_path}")
    with pytest.raises(SAELoadError, match="cannot read"):
        handle.load(context)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, context: LoadContext) -> None:
    _write(tmp_path, {"encoder.weight": torch.nn.Linear(2, 2)}, _config("TopKTrainer"))
    with pytest.raises(SAELoadError, match="cannot read"):
        resolve_spec(f"path:{tmp_path}")[0].load(context)


def test_configuration_errors(tmp_path: Path, context: LoadContext) -> None:
    _write(tmp_path / "a", trained_state("TopKTrainer"), _config("TopKTrainr"))
    (handle,) = resolve_spec(f"dictionary_learning:{tmp_path}/a")
    with pytest.raises(UnknownNameError, match="Did you mean 'TopKTrainer'"):
        handle.load(context)
    _write(tmp_path / "b", trained_state("TopKTrainer"), _config("TopKTrainer", layer=None, submodule_name=None))
    with pytest.raises(SAELoadError, match="names no layer"):
        resolve_spec(f"dictionary_learning:{tmp_path}/b")[0].load(context)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SAELoadError, match=r"looked for folders with ae\.pt"):
        resolve_spec(f"dictionary_learning:{tmp_path}/empty")
    with pytest.raises(SAELoadError, match="neither an existing directory nor a hub repository"):
        resolve_spec("dictionary_learning:/no/such/folder")


def test_the_hub_is_read_config_first(tmp_path: Path, context: LoadContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing a repository downloads configurations only; weights come when an SAE is loaded."""
    _write(tmp_path / "t" / "trainer_0", trained_state("BatchTopKTrainer"), _config("BatchTopKTrainer"))
    calls: list[tuple[str, object]] = []

    def snapshot_download(repo_id: str, *, allow_patterns: list[str]) -> str:
        calls.append((repo_id, allow_patterns))
        return str(tmp_path)

    def hf_hub_download(*, repo_id: str, filename: str, local_dir: object) -> str:
        calls.append((repo_id, filename))
        return str(tmp_path / filename)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hf_hub_download)
    (handle,) = resolve_spec("dictionary_learning:org/saes")
    assert calls == [("org/saes", ["*config.json"])]
    assert isinstance(handle.load(context), BatchTopKSAE)
    assert calls[1:] == [("org/saes", "t/trainer_0/ae.pt")]


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(SAEBenchError, match=r"no route to host.*--data-dir"):
        resolve_spec("dictionary_learning:org/saes")
