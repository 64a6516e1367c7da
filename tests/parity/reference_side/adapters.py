"""What the published package needs to run without a network: model, SAEs, tokens and texts from files.

Only the places where data comes in are replaced; everything that computes a number is the published code. The one
repair is `train_sklearn_probe`, which cannot run with current beartype and jaxtyping (see `_own_shape_scope`).
The patches hold for the whole process.

Shapes: N rows, L tokens, D d_model, F latents, T texts.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from harness import read_json, reference
from safetensors.torch import load_file
from torch import Tensor

Ids = list[int]
Reset = Literal["rewind", "continue"]

CLASS_OF_ARCHITECTURE = {
    "relu": "relu",
    "standard": "relu",
    "standard_april_update": "relu",
    "p_anneal": "relu",
    "vanilla": "relu",
    "topk": "topk",
    "batch_topk": "batch_topk",
    "batchtopk": "batch_topk",
    "matryoshka_batch_topk": "batch_topk",
    "jumprelu": "jumprelu",
    "jump_relu": "jumprelu",
    "gated": "gated",
    "identity": "identity",
    "pca": "pca",
}
CLASS_NAMES = {
    "relu": "ReluSAE",
    "topk": "TopKSAE",
    "batch_topk": "BatchTopKSAE",
    "jumprelu": "JumpReluSAE",
    "gated": "GatedSAE",
    "identity": "IdentitySAE",
    "pca": "PCASAE",
}
"""Kind -> class of the reference; its module is `custom_saes.<kind>_sae`."""
DEFAULTS_TO_ZERO = ("b_enc", "b_dec")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")


# ---- the language model


def load_model(
    folder: str | Path, dtype: str | torch.dtype = "float32", *, device: str = "cpu", n_ctx: int | None = None
) -> Any:
    """A TransformerLens `HookedTransformer`, unprocessed, from a Hugging Face folder of any supported architecture.

    The steps are those of `HookedTransformer.from_pretrained_no_processing`, which itself takes names from its table
    only. TransformerLens guesses the architecture from words in the path, so it is shown a neutral one.

    Args:
        n_ctx: fewer positions than the configuration has; TransformerLens keeps an (n_ctx, n_ctx) mask per layer.
    Raises:
        ValueError: the heads are not d_model / n_heads wide, which the converters take for granted.
    """
    from transformer_lens import HookedTransformer
    from transformer_lens import loading_from_pretrained as loading

    source = Path(folder).resolve()
    dtype = as_dtype(dtype)
    with tempfile.TemporaryDirectory(prefix="tl_") as neutral:
        link = Path(neutral) / "model"
        link.symlink_to(source, target_is_directory=True)
        hf_model = load_hf_model(source, dtype)
        _check_convertible(hf_model.config)
        cfg = loading.get_pretrained_model_config(
            str(link), hf_cfg=hf_model.config.to_dict(), device=device, dtype=dtype, n_ctx=n_ctx
        )
        cfg.tokenizer_name = None
        weights = loading.get_pretrained_state_dict(str(link), cfg, hf_model, dtype=dtype)
        model = HookedTransformer(cfg, load_tokenizer(source), move_to_device=False, default_padding_side="right")
        model.load_and_process_state_dict(
            weights, fold_ln=False, center_writing_weights=False, center_unembed=False, fold_value_biases=False
        )
    model.move_model_modules_to_device()
    return model.eval()


def load_hf_model(folder: Path, dtype: torch.dtype) -> Any:
    """The transformers model of a folder, in evaluation mode."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype, local_files_only=True).eval()


def load_tokenizer(folder: Path) -> Any | None:
    """The tokenizer of a folder; None if it has no tokenizer files."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return None
    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


def set_special_ids(model: Any, meta: Mapping[str, Any]) -> None:
    """Give the model's tokenizer the pad, BOS and EOS ids of `meta`: the reference masks by them."""
    for kind in ("pad", "bos", "eos"):
        token_id = meta[f"{kind}_id"]
        if token_id is not None and getattr(model.tokenizer, f"{kind}_token_id") != token_id:
            setattr(model.tokenizer, f"{kind}_token", model.tokenizer.convert_ids_to_tokens(int(token_id)))


@torch.no_grad()
def logit_difference(model: Any, folder: str | Path, tokens_NL: Tensor) -> dict[str, float]:
    """Largest difference of the converted model's logits from transformers' own, and the size of the latter."""
    hf_model = load_hf_model(Path(folder), model.cfg.dtype).to(model.cfg.device)
    tokens_NL = tokens_NL.to(model.cfg.device)
    expected = hf_model(input_ids=tokens_NL, use_cache=False).logits.float()
    found = model(tokens_NL, return_type="logits").float()
    return {"max_difference": (found - expected).abs().max().item(), "max_logit": expected.abs().max().item()}


def as_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """`"float32"` -> `torch.float32`."""
    return getattr(torch, dtype) if isinstance(dtype, str) else dtype


def _check_convertible(config: Any) -> None:
    width = config.hidden_size // config.num_attention_heads
    if (getattr(config, "head_dim", None) or width) != width:
        raise ValueError(f"head_dim is {config.head_dim}, the converters assume d_model / n_heads = {width}.")


# ---- SAEs


def load_saes(
    folder: str | Path,
    *,
    chosen: Sequence[str] | None = None,
    dtype: str | torch.dtype = "float32",
    device: str = "cpu",
) -> dict[str, Any]:
    """SAEs of the plain format as objects of the reference's own classes, name -> SAE.

    Raises:
        FileNotFoundError: no such SAE in the folder.
        ValueError: an unknown architecture, missing tensors, or tensors of the wrong shape.
    """
    folder = Path(folder)
    found = list(chosen) if chosen else sorted(path.stem for path in folder.glob("*.safetensors"))
    if not found:
        raise FileNotFoundError(f"no .safetensors file in {folder}")
    return {name: load_sae(folder / f"{name}.safetensors", dtype=as_dtype(dtype), device=device) for name in found}


def load_sae(path: Path, *, dtype: torch.dtype, device: str) -> Any:
    """One SAE: weights beside a JSON file with architecture, d_in, d_sae, hook_layer, hook_name, model_name, k."""
    spec = read_json(path.with_suffix(".json"))
    tensors = {key: value.float() for key, value in load_file(str(path)).items()}
    kind = CLASS_OF_ARCHITECTURE.get(str(spec["architecture"]).lower().replace("-", "_"))
    if kind is None:
        raise ValueError(f"{path.name}: the reference has no class for the architecture '{spec['architecture']}'.")
    sae = _empty_sae(kind, spec, device)
    wanted = sae.state_dict()
    if "mean" in wanted:  # its PCA keeps the offset under another name
        tensors["mean"] = tensors["b_dec"]
    missing = [key for key in wanted if key not in tensors and key not in (*DEFAULTS_TO_ZERO, "k")]
    if missing:
        raise ValueError(f"{path.name}: a {kind} SAE needs {', '.join(missing)}.")
    try:
        sae.load_state_dict({key: _shaped(tensors.get(key, value), value) for key, value in wanted.items()})
    except RuntimeError as error:
        raise ValueError(f"{path.name}: {error}") from error
    sae.cfg.architecture = str(spec["architecture"])
    return sae.to(device=device, dtype=dtype)


def _empty_sae(kind: str, spec: Mapping[str, Any], device: str) -> Any:
    common = {
        "d_in": int(spec["d_in"]),
        "model_name": spec["model_name"],
        "hook_layer": int(spec["hook_layer"]),
        "hook_name": spec["hook_name"],
        "device": torch.device(device),
        "dtype": torch.float32,
    }
    if kind not in ("identity", "pca"):  # these two are as wide as the model
        common["d_sae"] = int(spec["d_sae"])
    if kind in ("topk", "batch_topk"):
        common["k"] = int(spec["k"])
    if kind == "topk":
        common["use_threshold"] = bool(spec.get("use_threshold", False))
    return getattr(reference(f"custom_saes.{kind}_sae"), CLASS_NAMES[kind])(**common)


def _shaped(tensor: Tensor, like: Tensor) -> Tensor:
    """A single number is a scalar for one class and a value per latent for another."""
    if tensor.shape != like.shape and tensor.numel() == 1:
        return tensor.reshape(()).expand(like.shape).clone()
    return tensor


# ---- where data comes in


def patch_model_loading(model: Any) -> None:
    """Every request of the reference for a model is answered with this one."""
    from transformer_lens import HookedTransformer

    def loaded(*_args: Any, **_kwargs: Any) -> Any:
        return model

    HookedTransformer.from_pretrained_no_processing = loaded


class TokenStore:
    """Stands in for SAELens' ActivationsStore: hands out rows of given tokens, first to last.

    Args:
        tokens_NL: the rows.
        reset: what `reset_input_dataset` does. `rewind` goes back to the first row, as its name says and its callers
            mean; `continue` stays where it is, which is what SAELens 6 does for the batches that are read next.
    """

    store_batch_size_prompts = 8
    normalize_activations = "none"
    prepend_bos = False

    def __init__(self, tokens_NL: Tensor, reset: Reset = "rewind") -> None:
        self.tokens_NL = tokens_NL
        self.context_size = tokens_NL.shape[1]
        self.reset = reset
        self.position = 0

    def get_batch_tokens(self, batch_size: int | None = None, **_options: Any) -> Tensor:
        """The next rows. Raises `IndexError` when fewer are left than asked for."""
        size = batch_size or self.store_batch_size_prompts
        rows = self.tokens_NL[self.position : self.position + size]
        if len(rows) < size:
            raise IndexError(f"only {len(rows)} rows are left after row {self.position}, {size} are asked for.")
        self.position += size
        return rows

    def reset_input_dataset(self) -> None:
        if self.reset == "rewind":
            self.position = 0

    def shuffle_input_dataset(self, seed: int = 0, buffer_size: int = 1) -> None:
        """The order of the rows is the caller's."""


def patch_core(tokens_NL: Tensor, *, reset: Reset = "rewind", device: str = "cpu") -> None:
    """The core eval reads these rows; every SAE starts at the first."""

    class GivenTokens:
        @staticmethod
        def from_sae(*_args: Any, **_kwargs: Any) -> TokenStore:
            return TokenStore(tokens_NL.to(device), reset)

    reference("evals.core.main").ActivationsStore = GivenTokens


def patch_sparse_probing(texts: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """The probing evals read these texts, given as token ids.

    Args:
        texts: dataset -> {"classes": [..], "train": {class: [ids, ..]}, "test": {class: [ids, ..]}}.
        meta: holds `pad_id`.
    Raises:
        ValueError: an empty text, or classes of unequal size (the reference assumes equal ones).
    """
    dataset_info, dataset_utils = (reference(f"sae_bench_utils.dataset_{part}") for part in ("info", "utils"))
    for name, dataset in texts.items():
        for split in ("train", "test"):
            _check_split(f"{name}/{split}", dataset[split])
        dataset_info.chosen_classes_per_dataset[name] = [str(c) for c in dataset["classes"]]

    def given_texts(dataset_name: str, *_sizes_and_seed: Any) -> tuple[dict[str, list[Ids]], dict[str, list[Ids]]]:
        dataset = texts[dataset_name]
        return dict(dataset["train"]), dict(dataset["test"])

    def given_tokens(
        data: Mapping[str, Sequence[Ids]], tokenizer: Any, max_length: int, device: str
    ) -> dict[str, dict[str, Tensor]]:
        return {key: pad_right(rows, max_length, int(meta["pad_id"]), device) for key, rows in data.items()}

    dataset_utils.get_multi_label_train_test_data = given_texts
    dataset_utils.tokenize_data_dictionary = given_tokens
    repair_sklearn_probe()


def repair_sklearn_probe() -> None:
    """Give `train_sklearn_probe` a shape scope of its own, without which it cannot run."""
    probe_training = reference("evals.sparse_probing.probe_training")
    probe_training.train_sklearn_probe = _own_shape_scope(probe_training.train_sklearn_probe)


def pad_right(rows: Sequence[Ids], length: int, pad_id: int, device: str) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask`, both (T, length): cut to `length`, padded on the right."""
    input_ids = torch.full((len(rows), length), pad_id, dtype=torch.long)
    attention_mask = torch.zeros_like(input_ids)
    for row, ids in enumerate(rows):
        kept = torch.tensor(ids[:length], dtype=torch.long)
        input_ids[row, : len(kept)] = kept
        attention_mask[row, : len(kept)] = 1
    return {"input_ids": input_ids.to(device), "attention_mask": attention_mask.to(device)}


def _own_shape_scope(function: Any) -> Any:
    """Let a function bind its shape names itself.

    `train_sklearn_probe` is checked by beartype alone, so that its `d_model` means that of its caller, where it is
    the number of all latents. The k selected columns then do not fit, and the call fails before it computes anything.
    """
    from jaxtyping import jaxtyped

    return jaxtyped(typechecker=None)(function)


def _check_split(where: str, classes: Mapping[str, Sequence[Ids]]) -> None:
    sizes = {len(rows) for rows in classes.values()}
    if len(sizes) != 1:
        raise ValueError(f"{where}: the classes must have equally many texts, got {sorted(sizes)}.")
    if any(not ids for rows in classes.values() for ids in rows):
        raise ValueError(f"{where}: there is a text without tokens.")


@contextlib.contextmanager
def threads(count: int | None) -> Any:
    """Run with this many torch threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
