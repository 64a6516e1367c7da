"""An eval on trial: the SAEs that the checks need, and runs on a model that are made when first asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from sae_bench.custom_saes.custom_sae_config import TranscoderConfig
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.evals.base import EvalSpec
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.hooks import parse_hook_name
from sae_bench.language_models.numbers import dtype_name
from sae_bench.results.files import result_path
from sae_bench.results.model import BaseEvalConfig
from sae_bench.run.evaluate import execute
from sae_bench.run.planning import make_config
from sae_bench.run.request import RunRequest
from sae_bench.run.runner import RunSummary
from sae_bench.testing.tiny_models import tiny_sae

RELEASE = "check"
TO_ITSELF, BETWEEN_NAMES = "transcoder_to_itself", "transcoder_between_names"
OF_THE_RUN = ("eval_id", "datetime_epoch_millis")
"""Keys of a result in which two runs of the same work differ; so do `provenance.seconds` and fields named *_seconds."""


def check_saes(d_model: int, hook_name: str, n_layers: int | None = None) -> dict[str, Any]:
    """The SAEs that the checks compare: the identity, the controls, one that is dead, one in two orders, transcoders.

    The transcoders are one of the SAEs: from its hook to itself, and, where the stream after its layer is the one
    before the next, from the one name to the other.

    Args:
        d_model: width of the hook.
        hook_name: where they sit.
        n_layers: of the model; None or the last layer leaves out the transcoder between two names.
    """
    saes = {
        name: tiny_sae(name, d_in=d_model, d_sae=2 * d_model, hook_name=hook_name)
        for name in ("topk", "identity", "zero", "random")
    }
    order_F = torch.randperm(2 * d_model, generator=torch.Generator().manual_seed(1))
    for name, weights in {"permuted": ("W_dec",), "reordered": ("W_dec", "W_enc", "b_enc")}.items():
        sae = tiny_sae("topk", d_in=d_model, d_sae=2 * d_model, hook_name=hook_name)
        for weight in weights:
            value = getattr(sae, weight).data
            value.copy_(value[:, order_F] if weight == "W_enc" else value[order_F])
        saes[name] = sae
    for name, hook_out in {TO_ITSELF: hook_name, BETWEEN_NAMES: _other_name(hook_name, n_layers)}.items():
        if hook_out:
            saes[name] = sae = tiny_sae("topk", d_in=d_model, d_sae=2 * d_model, hook_name=hook_name)
            sae.cfg = TranscoderConfig(**vars(sae.cfg), hook_name_out=hook_out, d_out=d_model)
    dead = tiny_sae("relu", d_in=d_model, d_sae=2 * d_model, hook_name=hook_name)
    dead.b_enc.data.fill_(-1e6)
    return {**saes, "dead": dead}


def _other_name(hook_name: str, n_layers: int | None) -> str:
    """The name that the stream after a layer has as the stream before the next; empty if it has none."""
    point = parse_hook_name(hook_name)
    follows = point.kind == "hook_resid_post" and n_layers is not None and point.layer + 1 < n_layers
    return f"blocks.{point.layer + 1}.hook_resid_pre" if follows else ""


@dataclass(frozen=True)
class Run:
    """What a run left.

    Attributes:
        results: name of an SAE -> content of its result file.
    """

    summary: RunSummary
    folder: Path
    results: dict[str, dict[str, Any]]

    def path(self, sae: str) -> Path:
        """The result file of an SAE."""
        return result_path(self.folder, RELEASE, sae)


@dataclass(frozen=True)
class EvalTrial:
    """An eval with what it is run on.

    Attributes:
        saes: name -> SAE.
        settings: of the eval, over its defaults.
    """

    spec: EvalSpec
    lm: LanguageModel
    saes: Mapping[str, Any]
    settings: Mapping[str, Any]
    hook_name: str
    seeds: tuple[int, ...]
    data_dir: Path | None = None
    _folder: TemporaryDirectory[str] = field(default_factory=lambda: TemporaryDirectory(prefix="check_eval_"))

    @property
    def folder(self) -> Path:
        """Where its runs write; deleted with the trial."""
        return Path(self._folder.name)

    @cached_property
    def config(self) -> BaseEvalConfig:
        """The settings of all runs."""
        run_values = {"model_name": self.lm.name, "llm_dtype": dtype_name(self.lm.dtype)}
        return make_config(self.spec, {**run_values, **self.settings})

    def run(self, saes: Sequence[str], folder: str, *, max_saes: int | None = None) -> Run:
        """Evaluate some of the SAEs.

        Args:
            saes: their names, in the order of the run.
            folder: below the trial's own.
            max_saes: so many at a time.
        """
        handles = tuple(self._handle(name) for name in saes)
        request = RunRequest.of(
            targets=[{"model": self.lm, "saes": handles, "hook": self.hook_name}],
            evals=[self.spec],
            preset=None,
            settings={self.spec.name: self.settings},
            seeds=len(self.seeds),
            random_seed=self.seeds[0],
            output_folder=self.folder / folder,
            data_dir=self.data_dir,
            max_saes=max_saes,
            batch_tokens=512,
        )
        summary = execute(request)
        where = request.output_folder / self.spec.name
        results = {}
        for name in saes:
            path = result_path(where, RELEASE, name)
            if path.exists():
                results[name] = json.loads(path.read_text(encoding="utf-8"))
        return Run(summary, where, results)

    @cached_property
    def whole(self) -> Run:
        """All SAEs at once."""
        return self.run(list(self.saes), "whole")

    @cached_property
    def alone(self) -> Run:
        """Three of them in another order and one at a time, prepared anew."""
        return self.run(["zero", "topk", "identity"], "alone", max_saes=1)

    def _handle(self, name: str) -> SAEHandle:
        return SAEHandle(RELEASE, name, self.hook_name, self.lm.name, lambda _context: self.saes[name])


def comparable(result: Any) -> Any:
    """A result without what differs between two runs of the same work."""
    if isinstance(result, list):
        return [comparable(value) for value in result]
    if not isinstance(result, dict):
        return result
    return {
        key: comparable(value)
        for key, value in result.items()
        if key not in OF_THE_RUN and key != "seconds" and not key.endswith("_seconds")
    }


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Dotted paths of the values in which two results differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = dict.fromkeys([*one, *other])
        return [line for key in keys for line in differences(one.get(key), other.get(key), f"{path}.{key}".lstrip("."))]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for n, (a, b) in pairs for line in differences(a, b, f"{path}.{n}")]
    return [] if one == other else [path]
