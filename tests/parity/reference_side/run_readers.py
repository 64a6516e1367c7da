"""Codes and reconstructions of the libraries that write SAEs, of files in their layouts.

`--mirror` holds repositories that the other side has written: SAELens' own loaders of these formats read them, with the
hub replaced by the mirror. `--saved` gets SAEs that each library has made and saved itself, with random weights or with
those of `--weights`. It needs the libraries of readers_requirements.txt.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

Values = dict[str, Tensor]
Make = Callable[[Path, Tensor, Values], Values]
"""Makes an SAE for activations, saves it into a folder, and says what it computes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--mirror", "--saved", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument(
        "--inputs", type=Path, required=True, help="x (N, D) and the cases of the mirror as JSON beside it"
    )
    parser.add_argument("--weights", type=Path, help="W_enc, b_enc, W_dec, b_dec, threshold of a trained SAE")
    args = parser.parse_args()
    trained = load_file(str(args.weights)) if args.weights else {}
    x_ND = load_file(str(args.inputs))["x"]
    cases = json.loads(args.inputs.with_suffix(".json").read_text())
    args.out.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        for case in cases:
            save(args.out, case["name"], of_loader(case, args.mirror, x_ND))
        for name, make in {**SAE_LENS, **SPARSIFY, **CIRCUIT_TRACER, **DICTIONARY_LEARNING}.items():
            torch.manual_seed(len(name))
            save(args.out, name, make(args.saved / name, x_ND, trained))


def save(folder: Path, name: str, values: Values) -> None:
    save_file({key: value.float().contiguous() for key, value in values.items()}, str(folder / f"{name}.safetensors"))


# ---- SAELens' loaders of other people's formats


def of_loader(case: dict[str, Any], mirror: Path, x_ND: Tensor) -> Values:
    """What SAELens makes of a repository, its factor for activations folded in as `from_pretrained` does."""
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from sae_lens.registry import get_sae_class

    def local(repo_id: str, filename: str, subfolder: str | None = None, **_: object) -> str:
        path = mirror / repo_id / (subfolder or "") / filename
        if not path.exists():
            raise loaders.EntryNotFoundError(str(path))
        return str(path)

    def shapes(repo_id: str, filename: str) -> dict[str, list[int]]:
        with safe_open(mirror / repo_id / filename, framework="pt") as file:
            return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118

    loaders.hf_hub_download, loaders.get_safetensors_tensor_shapes = local, shapes
    load = loaders.NAMED_PRETRAINED_SAE_LOADERS[case["loader"]]
    overrides = {"dtype": "float32", **case["overrides"]}
    cfg, state, _ = load(case["repo_id"], case["folder"], device="cpu", cfg_overrides=overrides)
    cfg = loaders.handle_config_defaulting(cfg)
    sae_class, config_class = get_sae_class(cfg["architecture"])
    sae = sae_class(config_class.from_dict(cfg))
    sae.process_state_dict_for_loading(state)
    sae.load_state_dict(state)
    if case["scale"] is not None:
        sae.fold_activation_norm_scaling_factor(case["scale"])
    return of_sae_lens(sae, x_ND)


def of_sae_lens(sae: Any, x_ND: Tensor) -> Values:
    # codes of those that rank by what latents write are in its units already
    rescaled = getattr(sae.cfg, "rescale_acts_by_decoder_norm", False)
    norm_F = torch.ones(len(sae.W_dec)) if rescaled else sae.W_dec.norm(dim=-1)
    if sae.cfg.architecture() == "temporal":  # 25 texts
        x_BLD = x_ND.view(25, -1, x_ND.shape[1])
        return {"codes": sae.encode(x_BLD).flatten(0, 1), "y": sae(x_BLD).flatten(0, 1), "norm": norm_F}
    return {"codes": sae.encode(x_ND), "y": sae(x_ND), "norm": norm_F}


# ---- SAELens' own


def randomise(module: torch.nn.Module, **spread: float) -> None:
    for name, value in module.named_parameters():
        last = name.rsplit(".", 1)[-1]
        scale = spread.get(last, 0.3 if value.ndim == 1 else value.shape[-1] ** -0.5)
        value.data.normal_(0, scale)
        if "threshold" in last:
            value.data.abs_().add_(0.1)


def fill(module: torch.nn.Module, trained: Values, *, centred: bool) -> None:
    """Random weights; in their place those of a trained SAE, where a parameter is one of these by name and shape.

    Args:
        centred: whether the module subtracts `b_dec` from what it reads, which the trained SAE does not.
    """
    randomise(module)
    if not trained:
        return
    shift_F = trained["b_dec"] @ trained["W_enc"] if centred else 0.0
    known = {**trained, "b_enc": trained["b_enc"] + shift_F}
    for name, value in module.named_parameters():
        own = known.get(kind_of(name))
        if own is None:
            continue
        if own.ndim == 2 and value.shape[-2:] != own.shape:
            own = own[:, None] if value.ndim == 3 and value.shape[0] == len(own) else own.T
        value.data.copy_(own.expand_as(value))


def kind_of(name: str) -> str:
    """Which of the five weights a parameter is, by its name in any of the libraries; empty for another."""
    if name in ("b_enc", "encoder.bias", "gate_bias", "mag_bias", "b_gate", "b_mag"):
        return "b_enc"
    if name in ("b_dec", "decoder.bias", "decoder_bias", "bias"):
        return "b_dec"
    if "threshold" in name:
        return "threshold"
    return next((ours for ours in ("W_enc", "W_dec") if name.startswith((ours, f"{ours[2:]}oder.weight"))), "")


def width(x_ND: Tensor, trained: Values) -> int:
    """How many latents the SAEs have."""
    return len(trained["b_enc"]) if trained else 4 * x_ND.shape[1]


def threshold(trained: Values) -> float:
    """One for all latents."""
    return float(trained["threshold"].median()) if trained else 0.7


def sae_lens(architecture: str, **fields: Any) -> Make:
    def make(folder: Path, x_ND: Tensor, trained: Values) -> Values:
        from sae_lens.registry import get_sae_class

        transcodes = "transcoder" in architecture
        metadata = {
            "model_name": "gpt2",
            "hook_name": "blocks.3.mlp.hook_in" if transcodes else "blocks.3.hook_resid_post",
        }
        extra: dict[str, float] = {"d_out": x_ND.shape[1]} if transcodes else {}
        if transcodes:
            metadata["hook_name_out"] = "blocks.3.hook_mlp_out"
        if architecture == "matching_pursuit":  # it goes on until a quarter of an activation is left
            extra["residual_threshold"] = float(x_ND.norm(dim=1).mean()) / 4
        sae_class, config_class = get_sae_class(architecture)
        config = {
            "architecture": architecture, "d_in": x_ND.shape[1], "d_sae": width(x_ND, trained), "dtype": "float32",
            "device": "cpu", "apply_b_dec_to_input": not transcodes, "metadata": metadata, **extra, **fields,
        }  # fmt: skip
        sae = sae_class(config_class.from_dict(config))
        fill(sae, trained, centred=not transcodes)
        if architecture == "matching_pursuit":
            sae.W_dec.data /= sae.W_dec.norm(dim=1, keepdim=True)
        sae.save_model(str(folder))
        return of_sae_lens(sae, x_ND)

    return make


def checkpoint(architecture: str, normalization: str) -> Make:
    """A checkpoint of training, beside what the trainer saves of its activations' scale; `y` is scaled back."""

    def make(folder: Path, x_ND: Tensor, trained: Values) -> Values:
        from sae_lens.registry import get_sae_training_class
        from sae_lens.training.activation_scaler import ActivationScaler, ActivationWhitening

        sae_class, config_class = get_sae_training_class(architecture)
        config = {
            "architecture": architecture, "d_in": x_ND.shape[1], "d_sae": width(x_ND, trained), "dtype": "float32",
            "device": "cpu",
            "normalize_activations": normalization,
            "metadata": {"model_name": "gpt2", "hook_name": "blocks.3.hook_resid_post"},
        }  # fmt: skip
        sae = sae_class(config_class.from_dict(config))
        fill(sae, trained, centred=True)
        scaler = ActivationScaler(scaling_factor=1.25 if normalization == "expected_average_only_in" else None)
        if normalization == "covariance_whitening":
            M = torch.randn(x_ND.shape[1], x_ND.shape[1])
            scaler.whitening = ActivationWhitening(torch.randn(x_ND.shape[1]), M, torch.linalg.inv(M))
        if hasattr(sae, "topk_threshold"):
            sae.topk_threshold.fill_(threshold(trained))
        sae.save_model(str(folder))
        scaler.save(str(folder / "activation_scaler.json"))
        z_ND = scaler.scale(x_ND)
        codes = sae.encode(z_ND)
        if hasattr(sae, "topk_threshold"):  # what is saved for inference: the same latents above one threshold
            pre = (z_ND - sae.b_dec) @ sae.W_enc + sae.b_enc
            norm = sae.W_dec.norm(dim=-1) if sae.cfg.rescale_acts_by_decoder_norm else 1.0
            codes = pre.relu() * (pre * norm > sae.topk_threshold)
            y = codes @ sae.W_dec + sae.b_dec
        else:
            y = sae.decode(codes)
        return {"codes": codes, "y": scaler.unscale(y)}

    return make


SAE_LENS: dict[str, Make] = {
    **{f"sae_lens {name}": sae_lens(name) for name in ("standard", "gated", "jumprelu")},
    "sae_lens topk": sae_lens("topk", k=16),
    "sae_lens topk rescaled": sae_lens("topk", k=16, rescale_acts_by_decoder_norm=True),
    "sae_lens abstopk": sae_lens("abstopk", k=16),
    "sae_lens matching_pursuit": sae_lens("matching_pursuit"),
    "sae_lens temporal": sae_lens(
        "temporal",
        n_heads=4,
        bottleneck_factor=16,
        kval_topk=16,
        activation_normalization_factor=0.05,
        normalize_activations="constant_scalar_rescale",
    ),
    **{
        f"sae_lens {name}": sae_lens(name)
        for name in ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
    },
    "sae_lens checkpoint batchtopk": checkpoint("batchtopk", "expected_average_only_in"),
    "sae_lens checkpoint standard": checkpoint("standard", "expected_average_only_in"),
    "sae_lens checkpoint whitened": checkpoint("standard", "covariance_whitening"),
}


# ---- sparsify


def sparsify(*, transcode: bool = False, skip: bool = False) -> Make:
    def make(folder: Path, x_ND: Tensor, trained: Values) -> Values:
        from sparsify import SparseCoder, SparseCoderConfig

        config = SparseCoderConfig(num_latents=width(x_ND, trained), k=16, transcode=transcode, skip_connection=skip)
        coder = SparseCoder(x_ND.shape[1], config, dtype=torch.float32)
        fill(coder, trained, centred=not transcode)
        coder.save_to_disk(folder / ("layers.3.mlp" if transcode else "layers.3"))
        top = coder.encode(x_ND)
        codes = torch.zeros(len(x_ND), coder.num_latents).scatter_(1, top.top_indices, top.top_acts)
        return {"codes": codes, "y": coder(x_ND).sae_out, "norm": torch.ones(coder.num_latents)}

    return make


SPARSIFY = {
    "sparsify SAE saved": sparsify(),
    "sparsify transcoder saved": sparsify(transcode=True),
    "sparsify skip transcoder saved": sparsify(transcode=True, skip=True),
}


# ---- circuit-tracer


def circuit_tracer(*, jumprelu: bool, skip: bool) -> Make:
    def make(folder: Path, x_ND: Tensor, trained: Values) -> Values:
        import yaml
        from circuit_tracer.transcoder.activation_functions import JumpReLU
        from circuit_tracer.transcoder.single_layer_transcoder import SingleLayerTranscoder, TranscoderSet

        d_in, d_sae = x_ND.shape[1], width(x_ND, trained)
        function = JumpReLU(torch.rand(d_sae) + 0.1, 0.1) if jumprelu else torch.nn.functional.relu
        one = SingleLayerTranscoder(
            d_in, d_sae, function, 0, skip_connection=skip, device=torch.device("cpu"), dtype=torch.float32
        )
        fill(one, trained, centred=False)
        TranscoderSet({0: one}, "hook_resid_mid", "hook_mlp_out").to_safetensors(str(folder))
        hooks = {"feature_input_hook": "hook_resid_mid", "feature_output_hook": "hook_mlp_out"}
        (folder / "config.yaml").write_text(
            yaml.safe_dump({"model_kind": "transcoder_set", "model_name": "m", **hooks})
        )
        return {"codes": one.encode(x_ND), "y": one(x_ND), "norm": one.W_dec.norm(dim=1)}

    return make


def cross_layer(*, whole: bool) -> Make:
    """Layer 1 of a cross-layer transcoder of three by its codes, or the whole of it by what it writes at layer 2."""

    def make(folder: Path, x_ND: Tensor, trained: Values) -> Values:
        import yaml
        from circuit_tracer.transcoder.cross_layer_transcoder import CrossLayerTranscoder

        d_in, dtype = x_ND.shape[1], torch.float32
        clt = CrossLayerTranscoder(
            3, width(x_ND, trained), d_in, lazy_decoder=False, device=torch.device("cpu"), dtype=dtype
        )
        fill(clt, trained, centred=False)
        folder.mkdir(parents=True, exist_ok=True)
        clt.to_safetensors(str(folder))
        hooks = {"feature_input_hook": "hook_resid_mid", "feature_output_hook": "hook_mlp_out"}
        kind = {"model_kind": "cross_layer_transcoder", "model_name": "m"}
        (folder / "config.yaml").write_text(yaml.safe_dump({**kind, **hooks}))
        if not whole:
            return {"codes": clt.encode_layer(x_ND, 1), "norm": clt.W_dec[1].sum(dim=1).norm(dim=1)}
        x_LND = torch.stack([x_ND.roll(layer, 0) for layer in range(3)])
        norms = [clt.W_dec[layer][:, 2 - layer].norm(dim=1) for layer in range(3)]
        return {"codes": torch.cat([*clt.encode(x_LND)], dim=-1), "y": clt(x_LND)[2], "norm": torch.cat(norms)}

    return make


CIRCUIT_TRACER = {
    "circuit_tracer relu": circuit_tracer(jumprelu=False, skip=False),
    "circuit_tracer jumprelu skip": circuit_tracer(jumprelu=True, skip=True),
    "circuit_tracer cross-layer": cross_layer(whole=False),
    "circuit_tracer cross-layer, whole": cross_layer(whole=True),
}


# ---- dictionary_learning


def dictionary_learning(trainer: str, io: str = "out") -> Make:
    def make(folder: Path, x_ND: Tensor, trained: Values) -> Values:
        from dictionary_learning import dictionary
        from dictionary_learning.trainers import batch_top_k, matryoshka_batch_top_k, top_k

        d_in, d_sae = x_ND.shape[1], width(x_ND, trained)
        builders: dict[str, Callable[[], Any]] = {
            "StandardTrainer": lambda: dictionary.AutoEncoder(d_in, d_sae),
            "StandardTrainerAprilUpdate": lambda: dictionary.AutoEncoder(d_in, d_sae),
            "PAnnealTrainer": lambda: dictionary.AutoEncoder(d_in, d_sae),
            "GatedSAETrainer": lambda: dictionary.GatedAutoEncoder(d_in, d_sae),
            "GatedAnnealTrainer": lambda: dictionary.GatedAutoEncoder(d_in, d_sae),
            "JumpReluTrainer": lambda: dictionary.JumpReluAutoEncoder(d_in, d_sae),
            "TopKTrainer": lambda: top_k.AutoEncoderTopK(d_in, d_sae, 16),
            "BatchTopKTrainer": lambda: batch_top_k.BatchTopKSAE(d_in, d_sae, 16),
            "MatryoshkaBatchTopKTrainer": lambda: matryoshka_batch_top_k.MatryoshkaBatchTopKSAE(
                d_in, d_sae, 16, [d_sae // 2, d_sae // 2]
            ),
        }
        sae = builders[trainer]()
        fill(sae, trained, centred=trainer != "JumpReluTrainer")
        if "TopK" in trainer:
            sae.threshold.fill_(threshold(trained))
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(sae.state_dict(), folder / "ae.pt")
        stated = {"trainer_class": trainer, "dict_class": type(sae).__name__, "layer": 3, "lm_name": "gpt2"}
        stated["submodule_name"] = "model.layers.3.mlp"
        if "TopK" in trainer:
            stated["k"] = 16
        (folder / "config.json").write_text(json.dumps({"trainer": stated, "buffer": {"ctx_len": 128, "io": io}}))
        W_FD = sae.W_dec if hasattr(sae, "W_dec") else sae.decoder.weight.T
        codes = sae.encode(x_ND)
        return {"codes": codes, "y": sae.decode(codes), "norm": W_FD.norm(dim=1)}

    return make


_TRAINERS = (
    "StandardTrainer", "StandardTrainerAprilUpdate", "PAnnealTrainer", "GatedSAETrainer", "GatedAnnealTrainer",
    "JumpReluTrainer", "TopKTrainer", "BatchTopKTrainer", "MatryoshkaBatchTopKTrainer",
)  # fmt: skip
DICTIONARY_LEARNING = {
    **{f"dictionary_learning {name}": dictionary_learning(name) for name in _TRAINERS},
    **{
        f"dictionary_learning {name} transcoder": dictionary_learning(name, "in_and_out")
        for name in _TRAINERS
        if "Gated" not in name
    },
}


if __name__ == "__main__":
    main()
