"""What an eval is: one declaration, and a job with three steps around the shared pass.

`start` prepares what does not depend on the SAE (texts, probes, base losses), `Job.requests` says what the pass has to
deliver, `Job.score` turns what it delivered into the result of one SAE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sae_bench.activations.requests import Request
from sae_bench.custom_saes.members import Member
from sae_bench.language_models import LanguageModel
from sae_bench.results.model import (
    BaseEvalConfig,
    BaseEvalOutput,
    BaseMetricCategories,
    BaseResultDetail,
    SeedResult,
)
from sae_bench.results.samples import Samples


@dataclass(frozen=True)
class Metric:
    """A headline number: where it stands in the result, which way is better, what chance would give, and its range.

    Attributes:
        bounds: least and greatest value that it can take by definition, None where there is no such limit.
    """

    path: str
    title: str
    higher_is_better: bool | None = None
    chance: float | None = None
    bounds: tuple[float | None, float | None] = (None, None)

    def read(self, metrics: Mapping[str, Any]) -> float | None:
        """The value in a result's `eval_result_metrics`."""
        value: Any = metrics
        for part in self.path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return float(value) if isinstance(value, int) else value


@dataclass(frozen=True)
class EvalContext:
    """What a run gives to every eval.

    Attributes:
        artifacts_folder: where an eval may keep what does not depend on the SAE; None keeps nothing.
    """

    lm: LanguageModel
    hook_names: tuple[str, ...]
    seeds: tuple[int, ...]
    data_dir: Path | None = None
    artifacts_folder: Path | None = None


@dataclass
class Scores:
    """The result of one SAE before provenance is added.

    Attributes:
        not_computed: field that holds null -> why.
        seed_results: the headline numbers of each seed.
        samples: path of a headline metric -> the values it is a mean of, for intervals and paired comparison.
    """

    metrics: BaseMetricCategories
    details: Sequence[BaseResultDetail] = ()
    unstructured: Any = None
    not_computed: dict[str, str] = field(default_factory=dict)
    seed_results: list[SeedResult] = field(default_factory=list)
    samples: dict[str, Samples] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@runtime_checkable
class Job(Protocol):
    """An eval at work: prepared once, then asked for requests and scores for one group of SAEs after the other."""

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        """Provenance of the data it reads."""

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:
        """Fresh requests to the pass for this group of SAEs."""

    def score(self, member: Member) -> Scores:
        """The result of one SAE of the group that the pass has just served."""


@dataclass(frozen=True)
class EvalSpec:
    """The one declaration that runner, command line, schema and report read.

    Attributes:
        name: its name on the command line and its folder among the results.
        protocol: version of its definition; raised when numbers would change.
        metrics: headline numbers, the most important first.
        cost: one line on what it costs beyond the shared pass.
        resampled: settings besides `random_seed` that make every seed draw texts of its own (`--resample-data`), for
            evals that otherwise take the first texts of a source.
    """

    name: str
    title: str
    summary: str
    protocol: str
    config: type[BaseEvalConfig]
    output: type[BaseEvalOutput]
    metrics: tuple[Metric, ...]
    cost: str
    start: Callable[[EvalContext, Any], Job]
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    resampled: Mapping[str, Any] = field(default_factory=dict)

    @property
    def type_id(self) -> str:
        """What its results call it: the published id, which is not always its name."""
        default = self.output.model_fields["eval_type_id"].default
        return default if isinstance(default, str) else self.name
