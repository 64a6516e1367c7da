"""Invented inputs of gpu_check.py: words, texts, random models and SAEs of published shapes, settings of the evals."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sae_bench.custom_saes.batch_topk_sae import BatchTopKSAE
from sae_bench.custom_saes.jumprelu_sae import JumpReluSAE
from sae_bench.custom_saes.spec import LoadContext, SAEHandle
from sae_bench.datasets import registry
from sae_bench.datasets.spec import LabelledSpec
from sae_bench.evals.registry import get_eval
from sae_bench.evals.sparse_probing_sae_probes.tasks import BinaryTask
from sae_bench.language_models import LanguageModel

ALL_PAIRS_UP_TO = 1 << 16
"""Latents; above, core leaves out the cosines of all pairs."""
SHAPES = {
    "gemma-2-2b": (2304, 9216, 26, 8, 4, 256, 256_000, 12),
    "smollm2-135m": (576, 1536, 30, 9, 3, 64, 49_152, 10),
}
"""Model -> d_model, width of the MLP, layers, heads, heads of keys, width of a head, vocabulary, layer of the SAEs."""
ARCHITECTURES = ("jumprelu", "batch_topk")
ATTRIBUTES = ("Country", "Continent", "Language")


@dataclass(frozen=True)
class Size:
    """How large everything is.

    Attributes:
        widths, widths_of_all: latents of the SAEs, and those at which all evals run.
        n: texts, rows and pairs are multiples of it.
        case_s: seconds that one run may take.
    """

    widths: tuple[int, ...] = (1 << 14, 1 << 16, 1 << 18, 1 << 20)
    widths_of_all: tuple[int, ...] = widths
    l0: int = 60
    letters: str = "abcdefghijklmnopqrstuvwxyz"
    words_per_letter: int = 60
    n: int = 100
    pass_tokens: int = 16_384
    matrix: int = 8192
    case_s: float = 45.0
    toy: bool = False


TOY = Size((96, 256), (96,), 8, "abcd", 11, 4, 512, 256, 30.0, toy=True)


def make_words(size: Size) -> list[str]:
    """Invented words, as many of each letter."""
    draw, words = random.Random(0), []
    for letter in size.letters:
        of_letter: dict[str, None] = {}
        while len(of_letter) < size.words_per_letter:
            of_letter[letter + "".join(draw.choice("bdklmnrst") + draw.choice("aeiou") for _ in range(2))] = None
        words += list(of_letter)
    return words


def make_tokenizer(words: Sequence[str]) -> Any:
    """Byte-level BPE in which every word is one token, alone and after a space."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=40_000, special_tokens=list(special.values()), show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    known = [*words, "has", "the", "first", "letter", "yes", "no", "Yes", "No"]
    tokenizer.train_from_iterator([space + word for word in known for space in ("", " ")], trainer)
    ends = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}the"  # so that a judge says at least this word
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=ends, **special)


def make_model(
    name: str, tokenizer: Any, device: torch.device, dtype: torch.dtype, *, toy: bool
) -> tuple[LanguageModel, int]:
    """A random model that repeats the last word, and the layer of its SAEs."""
    from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig

    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
    sizes = (64, 96, 3, 4, 2, 16, len(tokenizer), 1) if toy else SHAPES[name]
    d_model, d_mlp, n_layers, n_heads, n_kv, d_head, d_vocab, layer = sizes
    shared = {
        "hidden_size": d_model, "intermediate_size": d_mlp, "num_hidden_layers": n_layers, "head_dim": d_head,
        "num_attention_heads": n_heads, "num_key_value_heads": n_kv, "vocab_size": d_vocab,
        "max_position_embeddings": 8192, "tie_word_embeddings": True, **ids,
    }  # fmt: skip
    gemma = name.startswith("gemma")
    config = Gemma2Config(**shared, query_pre_attn_scalar=d_head) if gemma else LlamaConfig(**shared)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), device:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    lm = LanguageModel(model, tokenizer, name=f"random-{name}")
    embedded = "blocks.0.hook_resid_pre"
    stream = lm.capture(torch.arange(8, 72, device=device)[None], [embedded])[embedded]
    wanted = 8.0 if toy else 5.0 if name.startswith("gemma") else 2.0  # beside what the layers add
    model.get_input_embeddings().weight.data.mul_(wanted / float(stream.float().pow(2).mean().sqrt()))
    return lm, layer


def sae_handles(lm: LanguageModel, layer: int, size: Size, width: int, words: Sequence[str]) -> list[SAEHandle]:
    """One SAE of each architecture, made on the device when it is loaded."""
    threshold, hook = threshold_for(lm, layer, width, size.l0, words), f"blocks.{layer}.hook_resid_post"
    return [
        SAEHandle(
            lm.name, f"{name}_{width}", hook, lm.name, partial(make_sae, name, width, size.l0, threshold, lm, layer)
        )
        for name in ARCHITECTURES
    ]


@torch.no_grad()
def make_sae(
    architecture: str, width: int, l0: int, threshold: float, lm: LanguageModel, layer: int, context: LoadContext
) -> Any:
    """Random unit rows, tied; up to 16k latents they are drawn on the CPU, so that they are the same on all devices."""
    d_model, device, dtype = lm.d_model, context.device, context.dtype
    common = (lm.name, layer, device, dtype, f"blocks.{layer}.hook_resid_post")
    sae: Any
    if architecture == "jumprelu":
        sae = JumpReluSAE(d_model, width, *common)
        sae.threshold.fill_(threshold)
    else:
        sae = BatchTopKSAE(d_model, width, l0, *common)
        sae.threshold.copy_(torch.tensor(threshold))
    draws_on = torch.device("cpu") if width <= 1 << 14 else device
    generator = torch.Generator(draws_on).manual_seed(1 + ARCHITECTURES.index(architecture))
    for start in range(0, width, 1 << 14):
        rows_BD = torch.randn(min(1 << 14, width), d_model, generator=generator, device=draws_on).to(device)
        rows_BD /= rows_BD.norm(dim=1, keepdim=True)
        sae.W_dec[start : start + len(rows_BD)] = rows_BD.to(dtype)
        sae.W_enc[:, start : start + len(rows_BD)] = rows_BD.T.to(dtype)
    return sae


@torch.no_grad()
def threshold_for(lm: LanguageModel, layer: int, width: int, l0: int, words: Sequence[str]) -> float:
    """What about `l0` of `width` random unit directions exceed on a token."""
    hook = f"blocks.{layer}.hook_resid_post"
    texts = [sentence(random.Random(i), words, 64) for i in range(4)]
    ids = torch.tensor(list(lm.tokenize(texts, max_length=48)))
    x_ND = lm.capture(ids.to(lm.device), [hook])[hook][:, 1:].flatten(0, 1).float().cpu()
    rows_FD = torch.randn(4096, lm.d_model, generator=torch.Generator().manual_seed(2))
    pre_M = (x_ND @ (rows_FD / rows_FD.norm(dim=1, keepdim=True)).T).flatten()
    return float(pre_M.topk(max(1, round(len(pre_M) * l0 / width))).values[-1])


def sentence(draw: random.Random, words: Sequence[str], n: int, liked: Sequence[str] = ()) -> str:
    """`n` words, half of them of those that are liked."""
    return " ".join(draw.choice(liked if liked and draw.random() < 0.5 else words) for _ in range(n))


def write_data(folder: Path, words: Sequence[str], size: Size) -> dict[str, Any]:
    """Files and data sets of all evals; returns what their settings name."""
    draw, n = random.Random(3), size.n
    third = len(words) // 3
    topics = {f"topic{i}": words[i * third : (i + 1) * third] for i in range(3)}
    times = {"now": words[::2], "then": words[1::2]}
    for split, per_cell in (("train", 3 * n), ("test", n)):
        rows = [
            {"text": f"{sentence(draw, words, 12, liked)} {sentence(draw, words, 12, of)}", "topic": name, "time": time}
            for _ in range(per_cell) for name, liked in topics.items() for time, of in times.items()
        ]  # fmt: skip
        write_lines(folder / f"{split}.jsonl", rows)
    name = f"gpu_check/{folder.parent.name}"  # no other run of this process has it
    spec = LabelledSpec(
        name=name, description="Invented words.", path=folder, label_column="topic", balance_column="time",
        classes={topic: topic for topic in topics}, balance_values={time: time for time in times},
    )  # fmt: skip
    registry.register(spec)
    texts = [{"text": sentence(draw, words, 400, topics["topic0"])} for _ in range(5 * n)]
    questions = [{"question": f"what is {word}", **choices(draw, words)} for word in words[: 4 * n]]
    half = len(questions) // 2
    facts = {word: dict.fromkeys(ATTRIBUTES, word) for word in words[:: max(1, len(words) // 60)]}
    asked = {attribute: [f"{words[i]} {words[i + 3]} %s"] for i, attribute in enumerate(ATTRIBUTES)}
    (folder / "base").mkdir()
    (folder / "base/ravel_city_entity_attributes.json").write_text(json.dumps(facts))
    (folder / "base/ravel_city_attribute_to_prompts.json").write_text(json.dumps(asked))
    labels = np.arange(max(104, 4 * n)) % 2
    of_task = tuple(sentence(draw, words, 24, topics[f"topic{label}"]) for label in labels)
    return {
        "labelled": name, "ravel": str(folder), "task": BinaryTask("1_words", ("no", "yes"), of_task, labels),
        "corpus": write_lines(folder / "corpus.jsonl", texts),
        "other": write_lines(folder / "other.jsonl", [{"text": sentence(draw, words, 400)} for _ in range(2 * n)]),
        "forget": write_lines(folder / "forget.jsonl", questions[:half]),
        "keep": write_lines(folder / "keep.jsonl", questions[half:]),
    }  # fmt: skip


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def choices(draw: random.Random, words: Sequence[str]) -> dict[str, Any]:
    """Four choices of three words; a model that repeats the last word finds the right one likeliest."""
    right = draw.randrange(4)
    said = [[word] * 3 if i == right else draw.sample(words, 3) for i, word in enumerate(draw.sample(words, 4))]
    return {"choices": [" ".join(choice) for choice in said], "answer": right}


def settings_of(size: Size, data: dict[str, Any], folder: Path, width: int) -> dict[str, dict[str, Any]]:
    """Eval -> its settings over the published ones."""
    n, probes = size.n, {"dataset_names": [data["labelled"]]}
    ablated = {**probes, "train_set_size": 6 * n, "test_set_size": 2 * n}
    return {
        "core": {
            "dataset": data["corpus"], "n_eval_reconstruction_batches": max(1, n // 25),
            "n_eval_sparsity_variance_batches": max(2, n // 2), "compute_pairwise_cosines": width <= ALL_PAIRS_UP_TO,
        },
        "sparse_probing": {**probes, "probe_train_set_size": 10 * n, "probe_test_set_size": 4 * n},
        "sparse_probing_sae_probes": {},
        "scr": {**ablated, "column1_vals_lookup": {data["labelled"]: [["topic0", "topic1"]]}},
        "tpp": ablated,
        "mdl": {"dataset_name": data["corpus"], "n_rows": 3 * n},
        "meta_structure": {"train_steps": n},
        "absorption": {"words_per_examples": 32},
        "unlearning": {
            "dataset_names": [data["forget"], data["keep"]], "forget_dataset": data["forget"], "not_side_effects": [],
            "forget_corpus": data["corpus"], "retain_corpus": data["other"], "answer_format": "cloze",
            "dataset_size": max(2, n // 2), "seq_len": 512, "n_features_list": [10], "multipliers": [25, 100],
            "retain_thresholds": [0.5] if size.toy else [0.001, 0.01],
        },
        "ravel": {
            "dataset_name": data["ravel"], "num_pairs_per_attribute": n,
            "entity_attribute_selection": {"city": list(ATTRIBUTES)},
        },
        "autointerp": {
            "dataset_name": data["corpus"], "total_tokens": 1000 * n, "n_latents": max(3, n // 3),
            "max_judged_latents": max(1, n // 50), "judge": "local", "judge_scoring": "logprob",
            "judge_cache": str(folder / "judge"), "embeddings": "none",
        },
    }  # fmt: skip


def scaled(eval_name: str, settings: dict[str, Any]) -> str:
    """Which numbers are not the published ones, and those."""
    spec = get_eval(eval_name)
    published = spec.config(**spec.presets["paper"])
    changed = [
        f"{key} {value} of {getattr(published, key)}" for key, value in settings.items()
        if isinstance(value, int | float | list) and key != "dataset_names" and value != getattr(published, key)
    ]  # fmt: skip
    return ", ".join(changed) or "-"
