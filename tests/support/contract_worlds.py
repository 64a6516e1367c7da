"""A tiny world for every eval: the model, the settings and the data with which its contract is checked in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from absorption_tiny import TINY, word_model
from autointerp_judges import WordJudge
from ravel_tiny import SETTINGS as RAVEL_SETTINGS
from ravel_tiny import write_files
from synthetic_tiny import tiny_parameters
from tiny_runs import SETTINGS, WORDS, sentences
from unlearning_plain import questions, with_model_answers

from sae_bench.datasets import LabelledSpec, registry
from sae_bench.evals.autointerp.evaluate import AutoInterpJob
from sae_bench.evals.base import EvalSpec
from sae_bench.evals.registry import get_eval
from sae_bench.evals.sparse_probing_sae_probes.evaluate import SaeProbesJob
from sae_bench.evals.sparse_probing_sae_probes.tasks import BinaryTask
from sae_bench.evals.unlearning.formats import make_reader
from sae_bench.judges import CachedJudge, ReplyCache
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.synthetic.model import SyntheticModel
from sae_bench.testing import tiny_model

SCR_TPP: dict[str, Any] = {
    "train_set_size": 24, "test_set_size": 12, "context_length": 16, "probe_epochs": 2,
    "n_values": [2, 5, 10, 20],
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """What `check_eval` is given."""

    spec: EvalSpec
    settings: dict[str, Any]
    lm: LanguageModel = field(default_factory=tiny_model)


def _lines(path: Path, rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def corpus(folder: Path) -> str:
    """A file of 120 sentences."""
    return _lines(folder / "corpus.jsonl", [{"text": t} for name in WORDS for t in sentences(name, "corpus", 40)])


def register_times(folder: Path) -> str:
    """Texts of three topics at two times; returns the name of the data set."""
    for split, n in (("train", 13), ("test", 7)):
        rows = (
            {"text": f"{time} {text}", "topic": topic, "time": time}
            for topic in WORDS
            for time in ("now", "then")
            for text in sentences(topic, split, n)
        )
        _lines(folder / f"{split}.jsonl", rows)
    labels = {"classes": {name: name for name in WORDS}, "balance_values": {"now": "now", "then": "then"}}
    spec = LabelledSpec(
        name=f"contract/{folder.name}",
        description="Times.",
        path=folder,
        label_column="topic",
        balance_column="time",
        **labels,
    )
    registry.register(spec)
    return spec.name


def _core(folder: Path) -> World:
    return World(get_eval("core"), {**SETTINGS["core"], "dataset": corpus(folder)})


def _sparse_probing(folder: Path) -> World:
    return World(get_eval("sparse_probing"), {**SETTINGS["sparse_probing"], "dataset_names": [register_times(folder)]})


def _sae_probes(folder: Path) -> World:
    labels = np.random.default_rng(0).permutation(np.arange(120) % 2)
    words = (WORDS["river"], WORDS["code"])
    texts = tuple(f"{i} the {words[1 - y][i % 4]} and {words[y][(i * 7 + 1) % 4]}" for i, y in enumerate(labels))
    task = BinaryTask("1_words", ("water", "code"), texts, labels.astype(np.int64))
    spec = replace(
        get_eval("sparse_probing_sae_probes"), start=lambda context, config: SaeProbesJob(context, config, [task])
    )
    return World(spec, {"ks": [1, 2], "context_length": 32})


def _scr(folder: Path) -> World:
    name = register_times(folder)
    pairs = {name: [["river", "code"]]}
    return World(get_eval("scr"), {**SCR_TPP, "dataset_names": [name], "column1_vals_lookup": pairs})


def _tpp(folder: Path) -> World:
    return World(get_eval("tpp"), {**SCR_TPP, "dataset_names": [register_times(folder)]})


def _mdl(folder: Path) -> World:
    values = {"k_values": [None, 2], "num_bins_values": [3, 8], "context_length": 16, "n_rows": 12}
    return World(get_eval("mdl"), {**values, "dataset_name": corpus(folder), "mse_epsilon_threshold": 10.0})


def _meta_structure(folder: Path) -> World:
    return World(get_eval("meta_structure"), {"train_steps": 10, "train_batch_size": 16, "k": 2})


def _absorption(folder: Path) -> World:
    return World(get_eval("absorption"), {**TINY, "k_sparse_probe_num_epochs": 2}, word_model())


def _unlearning(folder: Path) -> World:
    lm = tiny_model()
    known = with_model_answers(lm, make_reader(lm, "cloze", "plain"), questions(16))
    rows = [{"question": q.text, "choices": q.choices, "answer": q.answer} for q in known]
    names = [_lines(folder / f"{name}.jsonl", of) for name, of in (("forget", rows[:8]), ("keep", rows[8:]))]
    texts = [
        f"the {word} number {i} and the water of a river in the city of the cat" for i in range(30) for word in "ab"
    ]
    settings = {
        "dataset_names": names,
        "forget_dataset": names[0],
        "forget_corpus": _lines(folder / "topic.jsonl", [{"text": f"{text} Q Q"} for text in texts]),
        "retain_corpus": _lines(folder / "rest.jsonl", [{"text": text} for text in texts]),
        "answer_format": "cloze", "seq_len": 64, "dataset_size": 8, "n_features_list": [2], "multipliers": [5, 50],
    }  # fmt: skip
    return World(get_eval("unlearning"), settings, lm)


def _ravel(folder: Path) -> World:
    lm = tiny_model("llama")
    settings = {**RAVEL_SETTINGS, "dataset_name": str(write_files(folder / "ravel", lm)), "num_epochs": 1}
    return World(get_eval("ravel"), settings, lm)


def _autointerp(folder: Path) -> World:
    judge = CachedJudge(WordJudge(), ReplyCache(folder))
    spec = replace(get_eval("autointerp"), start=lambda context, config: AutoInterpJob(context, config, judge=judge))
    settings = {
        "dataset_name": corpus(folder), "total_tokens": 2000, "llm_context_size": 32, "buffer": 4, "n_latents": 3,
        "n_top_ex_for_generation": 4, "n_iw_sampled_ex_for_generation": 2, "embeddings": "none",
    }  # fmt: skip
    return World(spec, settings)


def _ground_truth(_folder: Path) -> World:
    lm = SyntheticModel.of(tiny_parameters())
    return World(get_eval("ground_truth"), {"n_samples": 600, "batch_size": 64}, lm)


WORLDS: dict[str, Callable[[Path], World]] = {
    "core": _core,
    "sparse_probing": _sparse_probing,
    "sparse_probing_sae_probes": _sae_probes,
    "scr": _scr,
    "tpp": _tpp,
    "mdl": _mdl,
    "meta_structure": _meta_structure,
    "absorption": _absorption,
    "unlearning": _unlearning,
    "ravel": _ravel,
    "autointerp": _autointerp,
    "ground_truth": _ground_truth,
}
"""Eval -> its world, with data in a folder."""
