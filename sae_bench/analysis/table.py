"""A folder of result files as records or a DataFrame: what can be read is read, the rest is named with a reason.

Results of the published package are read too: they lack seeds, samples and provenance, and say -1 for NaN.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from sae_bench.analysis.published_forms import BEFORE_METRICS, as_current, is_before_metrics
from sae_bench.errors import MissingResultError, ResultError, UnknownNameError, UsageError
from sae_bench.evals.base import EvalSpec, Metric
from sae_bench.evals.registry import eval_names, get_eval
from sae_bench.results.files import CHANGES_NO_NUMBER, FAILED, changes_no_number
from sae_bench.results.model import MetricStatistics, MetricValidity
from sae_bench.results.sample_files import read_samples, samples_path
from sae_bench.results.samples import Samples
from sae_bench.text_files import read_json

BESIDE = ("consistency.json", "validity.json")
"""Files that analyses write into a folder of results."""

_PUBLISHED_NAN = -1.0
_BULKY = ("eval_result_details", "eval_result_unstructured")
_NOT_PART_OF_THE_EVAL = {"model_name", "llm_dtype", "random_seed", "artifacts_path"}


@dataclass(frozen=True)
class Skipped:
    """A file that was not used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Record:
    """One result: the content of its file without the bulky parts, which `read` fetches.

    Attributes:
        protocol: version of the eval's definition; for results of the published package, the form of the file.
        moved: what of a published result is read under another name.
    """

    path: Path
    content: dict[str, Any] = field(repr=False)
    protocol: str = "unknown"
    moved: tuple[str, ...] = ()

    @property
    def eval_name(self) -> str:
        return str(self.content["eval_type_id"])

    @property
    def release(self) -> str:
        return str(self.content.get("sae_lens_release_id") or "")

    @property
    def sae_id(self) -> str:
        return str(self.content.get("sae_lens_id") or "")

    @property
    def sae(self) -> str:
        """`release:id`."""
        return f"{self.release}:{self.sae_id}"

    @property
    def provenance(self) -> dict[str, Any]:
        """Empty for results of the published package."""
        return self.content.get("provenance") or {}

    @property
    def model(self) -> str | None:
        """Name of the language model; None where it is not known."""
        return self.provenance.get("model") or (self.content.get("eval_config") or {}).get("model_name") or None

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds it was made with; empty where that is not known."""
        return tuple(self.provenance.get("seeds") or ())

    @cached_property
    def spec(self) -> EvalSpec | None:
        """The eval's declaration; None for an eval that this version does not know."""
        return _spec_of(self.eval_name)

    @cached_property
    def values(self) -> dict[str, float]:
        """Every number of `eval_result_metrics` by path, those that are null or not finite left out."""
        nan = None if self.provenance else _PUBLISHED_NAN
        numbers = _numbers(self.content["eval_result_metrics"])
        return {path: value for path, value in numbers if math.isfinite(value) and not (value == nan and self._is_core)}

    @property
    def _is_core(self) -> bool:
        return self.eval_name == "core"

    def metrics(self) -> tuple[Metric, ...]:
        """Headline metrics; of an unknown eval, every number it has."""
        if self.spec is not None:
            return self.spec.metrics
        return tuple(Metric(path, path.split(".", 1)[-1]) for path in self.values)

    @cached_property
    def statistics(self) -> dict[str, MetricStatistics]:
        """Error bars by path of the metric."""
        return {path: MetricStatistics.model_validate(entry) for path, entry in self.content["statistics"].items()}

    @cached_property
    def validity(self) -> dict[str, MetricValidity]:
        """Floor, ceiling and control by path of the metric; empty for results that were made without any."""
        entries = self.content.get("validity") or {}
        return {path: MetricValidity.model_validate(entry) for path, entry in entries.items()}

    def seed_values(self, path: str) -> dict[int, float]:
        """A metric by seed; empty where that is not known."""
        entries = self.content["seed_results"]
        values = {int(entry["seed"]): entry["metrics"].get(path) for entry in entries}
        return {seed: float(value) for seed, value in values.items() if value is not None}

    @property
    def samples(self) -> dict[str, Samples]:
        """What the metrics are means of; empty where it was not kept or cannot be read (see `samples_problem`)."""
        return self._samples[0]

    @property
    def samples_problem(self) -> str | None:
        """Why a samples file that is there cannot be used."""
        return self._samples[1]

    @cached_property
    def _samples(self) -> tuple[dict[str, Samples], str | None]:
        if not self._samples_path.exists():
            return {}, None
        try:
            return read_samples(self._samples_path, eval_id=self.content["eval_id"]), None
        except ResultError as error:
            return {}, str(error)

    @property
    def _samples_path(self) -> Path:
        return samples_path(self.path.parent, self.release, self.sae_id)

    def settings(self) -> dict[str, Any]:
        """The settings that change numbers, seeds and model aside."""
        config = self.content.get("eval_config") or {}
        without_number = CHANGES_NO_NUMBER if self.spec is None else changes_no_number(self.spec.config)
        left_out = without_number | _NOT_PART_OF_THE_EVAL
        return {key: value for key, value in config.items() if key not in left_out}

    def read(self) -> dict[str, Any]:
        """The whole content of the file, under today's names."""
        return as_current(json.loads(self.path.read_text(encoding="utf-8")))[0]


@dataclass(frozen=True)
class ResultTable:
    """All results below a folder."""

    folder: Path
    records: tuple[Record, ...]
    skipped: tuple[Skipped, ...]

    def eval_names(self) -> list[str]:
        """Evals that have results, those of this version first."""
        known = [name for name in eval_names() if any(r.spec and r.spec.name == name for r in self.records)]
        names = list(dict.fromkeys(record.eval_name for record in self.records))
        return sorted(names, key=lambda name: (_place(name, known), name))

    def of_eval(self, name: str) -> list[Record]:
        """The results of one eval, sorted by SAE."""
        return sorted((r for r in self.records if r.eval_name == name), key=lambda record: record.sae)

    def saes(self) -> list[str]:
        """`release:id` of all SAEs."""
        return sorted({record.sae for record in self.records})

    def mixed_names(self) -> list[str]:
        """A sentence for each SAE whose results on one model are of several SAEs, by their fingerprints."""
        prints: dict[tuple[str, str], dict[str, set[str]]] = {}
        for record in self.records:
            if fingerprint := record.provenance.get("sae_fingerprint"):
                of_name = prints.setdefault((record.sae, record.model or ""), {})
                of_name.setdefault(fingerprint, set()).add(record.eval_name)
        return [
            f"{sae}: its results are of {len(evals)} SAEs of that name, so do not read them as one: "
            + "; ".join(f"{fingerprint} ({', '.join(sorted(names))})" for fingerprint, names in sorted(evals.items()))
            for (sae, _), evals in sorted(prints.items())
            if len(evals) > 1
        ]

    def resolve_sae(self, name: str) -> str:
        """The SAE that a name stands for: `release:id`, `release_id`, or an id that only one release has.

        Raises:
            UnknownNameError: there is none.
            UsageError: there are several.
        """
        known = {record.sae: record for record in self.records}
        matching = [sae for sae, record in known.items() if name in (sae, f"{record.release}_{record.sae_id}")]
        matching = matching or [sae for sae, record in known.items() if name == record.sae_id]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise UsageError(
                f"'{name}' stands for several SAEs: {', '.join(sorted(matching))}. Next: write RELEASE:ID."
            )
        raise UnknownNameError("SAE", name, known, hint=f"'{self.folder}' has {len(known)} SAEs.")

    def to_frame(self) -> pd.DataFrame:
        """One row per SAE, eval and headline metric that has a value."""
        rows = [row for record in self.records for row in _rows(record)]
        return pd.DataFrame(rows, columns=list(_COLUMNS))


_COLUMNS = (
    "sae", "release", "sae_id", "model", "eval", "metric", "title", "value", "ci_low", "ci_high", "seed_values",
    "std_over_seeds", "n_seeds", "n_units", "no_error_bar_because", "higher_is_better", "chance", "floor", "ceiling",
    "above_floor", "above_floor_low", "above_floor_high", "protocol", "path",
)  # fmt: skip


def results_frame(folder: str | Path) -> pd.DataFrame:
    """The results below a folder as a tidy table: one row per SAE, eval and headline metric.

    Columns: `sae` (release:id), its parts, `model`, `eval`, `metric` (path in the file), `title`, `value`, the interval
    `ci_low` to `ci_high`, `seed_values` (seed -> value), and what is known of them.

    Raises:
        ResultError: the folder does not exist, or holds no result at all.
    """
    return load_results(folder).to_frame()


def load_results(folder: str | Path) -> ResultTable:
    """Read every result file below a folder, or the one file that is given.

    Broken, foreign, half-written and repeated files are skipped, each with a reason. Of repeated ones (same eval,
    release and id) the newest is kept.

    Raises:
        MissingResultError: the folder does not exist.
        ResultError: it holds no result at all.
    """
    root = Path(folder)
    if not root.exists():
        raise MissingResultError(f"'{root}' does not exist. Next: give the --output-folder of a run.")
    skipped: list[Skipped] = []
    newest: dict[tuple[str, str], Record] = {}
    for path in _candidates(root, skipped):
        loaded = _read(path)
        if isinstance(loaded, Skipped):
            skipped.append(loaded)
            continue
        key = (loaded.eval_name, loaded.sae)
        newer = _newer(newest.get(key), loaded)
        if key in newest:
            other = newest[key] if newer is loaded else loaded
            reason = f"repeats {loaded.eval_name} of {loaded.sae}, which '{newer.path}' holds too (that one is newer)"
            skipped.append(Skipped(other.path, reason))
        newest[key] = newer
    if not newest:
        seen = "; ".join(f"{entry.path.name}: {entry.reason}" for entry in skipped[:3])
        raise ResultError(
            f"'{root}' holds no result{f' ({seen})' if seen else ''}. Next: give the --output-folder of a run."
        )
    return ResultTable(root, tuple(newest.values()), tuple(sorted(skipped, key=lambda entry: str(entry.path))))


def _candidates(root: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """JSON files in a fixed order; what a killed run or a failed SAE left is noted on the way.

    `artifacts` holds what runs keep for later ones (RAVEL's completions, say) and no results.
    """
    paths = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    for path in paths:
        if path.is_relative_to(root / "artifacts") or path.name in BESIDE:
            continue
        if path.name.endswith(".partial"):
            skipped.append(Skipped(path, "half-written: a run that was killed left it"))
        elif path.suffix == ".txt" and path.parent.name == FAILED:
            skipped.append(Skipped(path, "this SAE failed; the file holds the traceback"))
        elif path.suffix == ".json" and not path.name.startswith("."):
            yield path


def _read(path: Path) -> Record | Skipped:
    try:
        content = read_json(path)
    except ValueError as error:
        return Skipped(path, f"broken or cut off ({error})")
    if isinstance(content, dict) and is_before_metrics(content):
        return Skipped(path, BEFORE_METRICS)
    if not isinstance(content, dict) or not isinstance(content.get("eval_result_metrics"), dict):
        return Skipped(path, "foreign: no result of this benchmark (it has no eval_result_metrics)")
    if not isinstance(content.get("eval_type_id"), str) or not content["eval_type_id"]:
        return Skipped(path, "foreign: it does not say which eval it is of (eval_type_id)")
    if not content.get("sae_lens_release_id") and not content.get("sae_lens_id"):
        return Skipped(path, "it does not say which SAE it is of (sae_lens_release_id, sae_lens_id)")
    for key in ("provenance", "eval_config"):
        if not isinstance(content.get(key), dict | None):
            return Skipped(path, f"broken: its {key} is no mapping")
    for key in _BULKY:
        content.pop(key, None)
    content, protocol, moved = as_current(content)
    content["seed_results"], content["statistics"] = content.get("seed_results") or [], content.get("statistics") or {}
    content.setdefault("eval_id", "")
    record = Record(path, content, protocol, moved)
    try:
        checked = (
            record.statistics,
            record.validity,
            record.seeds,
            [record.seed_values(path) for path in record.statistics],
        )
    except (ValidationError, AttributeError, KeyError, TypeError, ValueError) as error:
        return Skipped(path, f"broken: its statistics, validity or seeds cannot be read ({str(error).splitlines()[0]})")
    del checked
    if not record.values:
        return Skipped(path, "its metrics hold no number")
    return record


def _newer(a: Record | None, b: Record) -> Record:
    if a is None:
        return b
    times = [record.content.get("datetime_epoch_millis") or 0 for record in (a, b)]
    return b if times[1] > times[0] else a


def _numbers(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", float(value)


def _spec_of(eval_type_id: str) -> EvalSpec | None:
    """An eval by its name, or by the id that its results hold where the two differ."""
    if eval_type_id in eval_names():
        return get_eval(eval_type_id)
    specs = [get_eval(name) for name in eval_names()]
    return next((s for s in specs if s.output.model_fields["eval_type_id"].default == eval_type_id), None)


def _place(name: str, known: Sequence[str]) -> int:
    spec = _spec_of(name)
    return known.index(spec.name) if spec is not None else len(known)


def _rows(record: Record) -> Iterator[tuple[Any, ...]]:
    for metric in record.metrics():
        value = record.values.get(metric.path)
        if value is not None:
            bar = record.statistics.get(metric.path)
            yield (
                record.sae, record.release, record.sae_id, record.model, record.eval_name, metric.path, metric.title,
                value, *_bar(bar, record.seed_values(metric.path)), metric.higher_is_better, metric.chance,
                *_beside(record.validity.get(metric.path)), record.protocol, str(record.path),
            )  # fmt: skip


def _bar(bar: MetricStatistics | None, seed_values: dict[int, float]) -> tuple[Any, ...]:
    if bar is None:
        return None, None, seed_values, None, None, None, "made by a version that kept no error bar"
    return bar.ci_low, bar.ci_high, seed_values, bar.std_over_seeds, bar.n_seeds, bar.n_units, bar.reason


def _beside(validity: MetricValidity | None) -> tuple[float | None, ...]:
    if validity is None:
        return (None,) * 5
    above = validity.above_floor
    ends = (end.value if end is not None else None for end in (validity.floor, validity.ceiling))
    return *ends, above.value, above.ci_low, above.ci_high


def choose_metrics(record: Record, patterns: Sequence[str]) -> tuple[Metric, ...]:
    """Headline metrics whose `eval.path` or title matches one of the patterns; if none does, any metric that does.

    Raises:
        UsageError: a pattern is no regular expression.
    """
    if not patterns:
        return record.metrics()
    try:
        matchers = [re.compile(pattern, re.IGNORECASE) for pattern in patterns]
    except re.error as error:
        raise UsageError(f"--metric: '{error.pattern!s}' is no regular expression: {error}.") from error

    def matching(metrics: Iterable[Metric]) -> tuple[Metric, ...]:
        name = record.eval_name
        return tuple(m for m in metrics if any(x.search(f"{name}.{m.path}") or x.search(m.title) for x in matchers))

    others = (Metric(path, path.split(".", 1)[-1]) for path in record.values)
    return matching(record.metrics()) or matching(others)
