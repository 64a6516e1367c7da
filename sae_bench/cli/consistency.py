"""`sae-bench compare --consistency`: loads SAEs of one hook, reads held-out text, and shows how far they agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from sae_bench.cli.console import table_console
from sae_bench.errors import UsageError

if TYPE_CHECKING:
    from sae_bench.analysis.consistency import Consistencies, Consistency
    from sae_bench.custom_saes.loading import Member

CORPUS = "embedded"
"""Held-out text that every installation has."""

_BATCHES = 4
"""Of 32 rows of 128 tokens: 16 thousand tokens."""


@dataclass(frozen=True)
class Asked:
    """What to hold against what.

    Attributes:
        model: name of the language model; None takes that of the results.
        saes: specs; empty takes the SAEs of the results, baselines left out.
        results: folder of results; None if there is none.
        hook: where SAEs without a hook of their own sit.
        corpus: held-out text.
        data_dir: a mirror of hub repositories.
    """

    model: str | None
    saes: tuple[str, ...]
    results: Path | None
    hook: str | None = None
    corpus: str = CORPUS
    data_dir: Path | None = None


def measure(asked: Asked) -> Consistencies:
    """The consistency of the SAEs at each hook that has two or more.

    Raises:
        UsageError: no model is named, no hook has two SAEs, or SAEs of the results cannot be found again.
        SAEBenchError: a model, an SAE or the text is missing.
    """
    from sae_bench.analysis.consistency import Consistencies, consistency_of
    from sae_bench.custom_saes.loading import load_member
    from sae_bench.language_models import load_language_model
    from sae_bench.run.planning import corpus_activations, load_context, place_baselines, resolve_saes

    model, specs, fingerprints = _of_results(asked) if asked.results else (asked.model, list(asked.saes), {})
    if model is None:
        raise UsageError("--consistency loads SAEs and reads text. Next: name their model with --model.")
    if not specs:
        raise UsageError("--consistency needs two or more SAEs of one hook. Next: name them with --sae.")
    handles = place_baselines(resolve_saes(specs, data_dir=asked.data_dir), asked.hook)
    lm = load_language_model(model, data_dir=asked.data_dir)
    context = load_context(lm, hook=asked.hook, data_dir=asked.data_dir)
    by_hook: dict[str, list[Member]] = {}
    for handle in handles:
        member = load_member(handle, context, lm)
        _check_same(member, fingerprints)
        by_hook.setdefault(member.place, []).append(member)
    groups = {hook: members for hook, members in by_hook.items() if len(members) > 1}
    if not groups:
        where = "; ".join(f"{hook}: {len(members)}" for hook, members in by_hook.items())
        raise UsageError(f"--consistency compares two or more SAEs of one hook; got {where}.")

    def tokens(hook: str) -> Iterator[Any]:
        return islice(corpus_activations(lm, hook, asked.corpus, data_dir=asked.data_dir), _BATCHES)

    return Consistencies(
        hooks=[
            consistency_of(members, tokens(members[0].hook_name), model=lm.name, corpus=asked.corpus)
            for members in groups.values()
        ]
    )


def _of_results(asked: Asked) -> tuple[str | None, list[str], Mapping[str, str]]:
    """Model and SAE specs that a folder of results stands for, and which weights each SAE had."""
    from sae_bench.analysis.panel import role_of
    from sae_bench.analysis.table import load_results

    assert asked.results is not None
    table = load_results(asked.results)
    models = list(dict.fromkeys(record.model for record in table.records if record.model))
    if asked.model is None and len(models) > 1:
        raise UsageError(f"'{asked.results}' has results of several models. Next: --model, one of {', '.join(models)}.")
    model = asked.model or (models[0] if models else None)
    records = {r.sae: r for r in table.records if r.model == model or asked.saes}
    prints = {sae: str(r.provenance.get("sae_fingerprint") or "") for sae, r in records.items()}
    if asked.saes:
        return model, list(asked.saes), prints
    trained = [record for record in records.values() if role_of(record).kind == "trained"]
    specs = {r.sae: f"embedded:{re.escape(r.sae_id)}" if r.release == "embedded" else None for r in trained}
    lost = sorted(sae for sae, spec in specs.items() if spec is None)
    if lost:
        raise UsageError(
            f"where {', '.join(lost[:5])} came from is not in the results. Next: name the SAEs with --sae SPEC."
        )
    return model, [spec for spec in specs.values() if spec is not None], prints


def _check_same(member: Member, fingerprints: Mapping[str, str]) -> None:
    """Refuse an SAE of the same name whose weights are others than those of the results."""
    name = f"{member.release}:{member.sae_id}"
    known = fingerprints.get(name)
    if known and member.fingerprint and known != member.fingerprint:
        raise UsageError(
            f"'{name}' is another SAE now than the one of the results ({member.fingerprint}, {known}). Next: run it "
            "again, or name the SAE of the results with --sae."
        )


def show(measured: Consistencies) -> None:
    """A table and a sentence per hook, on standard output."""
    console = table_console()
    for of_hook in measured.hooks:
        console.print(_table(of_hook))
        console.print(f"  {escape(of_hook.sentence)}.", soft_wrap=True, highlight=False)
        if of_hook.reason:
            console.print(f"  No interval: {escape(of_hook.reason)}.", soft_wrap=True, highlight=False)
        if any(pair.within_candidates for pair in of_hook.pairs):
            console.print("  Wide dictionaries: matched among each latent's most similar ones only.", highlight=False)
    console.print(
        "PW-MCC: mean |cosine| of matched decoder rows; null: of random dictionaries; codes: correlation of matched "
        "latents; activity: tokens with both over tokens with either.",
        soft_wrap=True, highlight=False,
    )  # fmt: skip


def _table(of_hook: Consistency) -> Table:
    title = f"{of_hook.model} {of_hook.hook}: {len(of_hook.saes)} SAEs, {of_hook.n_tokens} tokens of {of_hook.corpus}"
    table = Table(title=escape(title), title_justify="left", header_style="bold")
    table.add_column("A", overflow="fold")
    table.add_column("B", overflow="fold")
    for name in ("PW-MCC", "null", "calibrated", "shared", "codes", "activity"):
        table.add_column(name, justify="right", no_wrap=True)
    for pair in of_hook.pairs:
        numbers = (pair.pw_mcc, pair.null, pair.calibrated, pair.shared, pair.code_correlation, pair.activity_iou)
        table.add_row(escape(pair.a), escape(pair.b), *("-" if n is None else f"{n:.3f}" for n in numbers))
    mean = (of_hook.pw_mcc, of_hook.null, of_hook.calibrated, of_hook.shared)
    if len(of_hook.pairs) > 1:
        agreed: Sequence[float | None] = (*mean, of_hook.code_correlation, of_hook.activity_iou)
        table.add_section()
        table.add_row("mean", "", *("-" if n is None else f"{n:.3f}" for n in agreed))
    return table
