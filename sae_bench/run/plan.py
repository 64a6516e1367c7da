"""What a run is asked to do, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sae_bench.activations.one_pass import PassOptions
from sae_bench.custom_saes.loading import GroupLimits
from sae_bench.custom_saes.spec import LoadContext, SAEHandle
from sae_bench.evals.base import EvalSpec
from sae_bench.language_models import LanguageModel
from sae_bench.results.model import BaseEvalConfig, own_copy
from sae_bench.run.forecast import ModelForecast


@dataclass(frozen=True)
class Listener:
    """Who is told how a run goes.

    Attributes:
        on_phase: what happens next, and how many tokens it will read (0 if it reads none).
        on_tokens: so many more tokens were read.
        on_result: how many results are there, how many failed, and how many of the model's were asked for.
        on_forecast: what a model's SAEs will take, once its evals are prepared; None saves measuring it.
    """

    on_phase: Callable[[str, int], None] = lambda _phase, _tokens: None
    on_tokens: Callable[[int], None] = lambda _tokens: None
    on_result: Callable[[int, int, int], None] = lambda _done, _failed, _asked: None
    on_forecast: Callable[[ModelForecast], None] | None = None


SILENT = Listener()


@dataclass(frozen=True)
class EvalRequest:
    """One eval with its settings: a checked copy, so that a change of the caller's config does not reach the run."""

    spec: EvalSpec
    config: BaseEvalConfig

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", own_copy(self.config))


@dataclass(frozen=True)
class RunPlan:
    """Everything a run needs to know.

    Attributes:
        output_folder: where results go.
        folder_per_eval: whether each eval has its own folder there, or all files go straight into it.
        load_context: device, dtype and what baselines need.
        seeds: seeds of everything random; published fields are means over them.
        resample_data: whether every seed draws texts of its own, which costs a pass over them per seed.
        controls: whether evals that pick latents repeat themselves with random ones.
        published_nulls: write -1 for null in the fields where published result files always hold a number.
        judge_key: for evals that ask a judge; written nowhere.
        on_phase: told what happens next and how many tokens it will read (0 if it reads none).
        on_result: told how many results are there, how many failed, and how many were asked for.
        on_forecast: told what the SAEs will take, once the evals are prepared; None saves measuring it.
    """

    lm: LanguageModel
    evals: Sequence[EvalRequest]
    handles: Sequence[SAEHandle]
    output_folder: Path
    load_context: LoadContext
    seeds: tuple[int, ...] = (42,)
    resample_data: bool = False
    data_dir: Path | None = None
    folder_per_eval: bool = True
    force_rerun: bool = False
    controls: bool = True
    published_nulls: bool = False
    limits: GroupLimits = field(default_factory=lambda: GroupLimits())
    pass_options: PassOptions = field(default_factory=lambda: PassOptions())
    judge_key: str | None = field(default=None, repr=False)
    on_phase: Callable[[str, int], None] = lambda _phase, _tokens: None
    on_result: Callable[[int, int, int], None] = lambda _done, _failed, _asked: None
    on_forecast: Callable[[ModelForecast], None] | None = None

    def eval_folder(self, name: str) -> Path:
        """Where the results of an eval go."""
        return self.output_folder / name if self.folder_per_eval else self.output_folder


@dataclass(frozen=True)
class Failure:
    """An (SAE, eval) that could not be done, and the file that holds the traceback."""

    sae: str
    eval_name: str
    message: str
    traceback_file: Path


@dataclass
class RunSummary:
    """What came of a run."""

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    pass_seconds: dict[str, float] = field(default_factory=dict)
    n_tokens: int = 0

    @property
    def results(self) -> list[Path]:
        """All result files of the request, new and old."""
        return [*self.skipped, *self.written]

    @property
    def n_asked(self) -> int:
        """How many (SAE, eval) the request has."""
        return len(self.results) + len(self.failures)

    def add(self, other: RunSummary) -> None:
        """Take in what came of another run of the same request."""
        self.written += other.written
        self.skipped += other.skipped
        self.failures += other.failures
        self.n_tokens += other.n_tokens
        for phase, seconds in other.pass_seconds.items():
            self.pass_seconds[phase] = self.pass_seconds.get(phase, 0.0) + seconds
