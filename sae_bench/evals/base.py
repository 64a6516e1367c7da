"""What an eval is: one declaration, and a job with three steps around the shared pass.

`start` prepares what does not depend on the SAE (texts, probes, base losses), `Job.requests` says what the pass has to
deliver, `Job.score` is handed what it delivered and turns it into the result of one SAE.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from sae_bench.evals.shows import Shows
from sae_bench.language_models.aliases import ModelKind
from sae_bench.results.model import (
    SHARE,
    BaseEvalConfig,
    BaseEvalOutput,
    BaseMetricCategories,
    BaseResultDetail,
    Metric,
    SeedResult,
    config_fields,
)

if TYPE_CHECKING:
    from sae_bench.activations.requests import Request, Served
    from sae_bench.custom_saes.loading import Member
    from sae_bench.language_models import LanguageModel
    from sae_bench.results.references import References
    from sae_bench.results.samples import Samples

__all__ = [
    "INTERVENTION",
    "JUDGE",
    "PREDICTION",
    "RECONSTRUCTION",
    "SHARE",
    "SINGLE_TOKENS",
    "Caveat",
    "EvalContext",
    "EvalSpec",
    "Job",
    "Lazy",
    "Metric",
    "Need",
    "Scores",
    "Shows",
]

Need = Literal["judge", "reconstruction", "prediction", "intervention", "single_tokens"]
"""What an eval may want beside model and data."""

RECONSTRUCTION: Need = "reconstruction"
"""Need of an eval that puts an SAE's reconstruction, or a change of its codes, beside what the SAE reads."""

PREDICTION: Need = "prediction"
"""Need of an eval that puts it beside what stands at the SAE's output hook, so that it takes transcoders too."""

INTERVENTION: Need = "intervention"
"""Need of an eval that puts it in the place of what stands at the SAE's output hook, and runs the model on."""

SINGLE_TOKENS: Need = "single_tokens"
"""Need of an eval that encodes tokens without the texts that they stand in."""

JUDGE: Need = "judge"
"""Need of an eval that asks a judge; its settings have `judge`, `judge_model` and `judge_base_url`."""


@dataclass(frozen=True)
class Caveat:
    """What a reader of a metric has to know before believing it.

    Attributes:
        paths: the metrics it is about; empty: all of the eval.
        serious: whether it puts the metric itself in doubt.
        elsewhere: whether it was found on other SAEs and models: what `sae-bench validate` finds here takes its place.
    """

    text: str
    paths: tuple[str, ...] = ()
    serious: bool = False
    elsewhere: bool = False

    def is_about(self, path: str) -> bool:
        """Whether it stands beside this metric."""
        return not self.paths or path in self.paths


@dataclass(frozen=True)
class EvalContext:
    """What a run gives to every eval.

    Attributes:
        artifacts_folder: where an eval may keep what does not depend on the SAE; None keeps nothing.
        controls: whether the eval's procedure is repeated with random latents, to hold the scores against.
        judge_key: key of the judge's endpoint; None leaves it to the judge to find one. It goes into no file.
    """

    lm: LanguageModel
    hook_names: tuple[str, ...]
    seeds: tuple[int, ...]
    data_dir: Path | None = None
    artifacts_folder: Path | None = None
    controls: bool = True
    judge_key: str | None = field(default=None, repr=False)


@dataclass
class Scores:
    """The result of one SAE before provenance is added.

    Attributes:
        not_computed: field that holds null -> why.
        seed_results: the headline numbers of each seed.
        samples: path of a headline metric -> the values it is a mean of, for intervals and paired comparison.
        references: path of a headline metric -> its floor, ceiling and control on the same units.
    """

    metrics: BaseMetricCategories
    details: Sequence[BaseResultDetail] = ()
    unstructured: Any = None
    not_computed: dict[str, str] = field(default_factory=dict)
    seed_results: list[SeedResult] = field(default_factory=list)
    samples: dict[str, Samples] = field(default_factory=dict)
    references: dict[str, References] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@runtime_checkable
class Job(Protocol):
    """An eval at work: prepared once, then asked for requests and scores for one group of SAEs after the other."""

    @property
    def datasets(self) -> dict[str, dict[str, str]]:
        """Provenance of the data it reads; none by default."""
        return {}

    def requests(self, members: Sequence[Member]) -> Sequence[Request]:  # noqa: ARG002
        """Fresh requests to the pass for this group of SAEs, as many for every group; none by default."""
        return ()

    def score(self, member: Member, served: Sequence[Served]) -> Scores:
        """The result of one SAE of the group that the pass has just served.

        Args:
            member: an SAE of the group that has not failed.
            served: what the pass made of the requests of this job for the group, in their order.
        """


@dataclass(frozen=True)
class Lazy:
    """Starts an eval whose code is imported at the start, so that its declaration can be read without torch.

    Attributes:
        target: `package.module:name` of what takes an `EvalContext` and the settings.
    """

    target: str

    def __call__(self, context: EvalContext, config: Any) -> Job:
        module, _, name = self.target.partition(":")
        job: Job = getattr(importlib.import_module(module), name)(context, config)
        return job


@dataclass(frozen=True)
class EvalSpec:
    """The one declaration that runner, command line, schema and report read.

    Attributes:
        name: its name on the command line and its folder among the results.
        protocol: version of its definition; raised when numbers would change.
        metrics: headline numbers, the most important first.
        cost: one line on what it costs beyond the shared pass.
        presets: settings of `--preset paper` and `--preset quick`.
        models: the kinds of model that it can read: most need language.
        embedded: settings that keep a run on the embedded model on the embedded data, unless other data are asked for.
        synthetic: settings of a run on a synthetic model.
        demo: settings, beside `quick` and `embedded`, with which nine SAEs and three seeds take seconds on two cores.
        caveats: what has to be known before its metrics are believed.
        shows: how a report shows its details.
        needs: what it wants beside model and data: "judge" is a model that answers questions, "reconstruction" an
            SAE that reconstructs the hook that it reads, "prediction" one that reconstructs that hook or another,
            "intervention" one that does so where the model's value can be replaced, "single_tokens" one that encodes a
            token by itself.
        weights_suffice: whether it reads weights alone, at least for some metrics, and so takes a decoder without an
            encoder.
        fixed_tokens: which tokens it reads or changes whatever positions and ids a run leaves out; empty if none.
        transcoders_apart: why scores of transcoders and of SAEs of one hook do not compare; empty where they do.
        given: what all seeds share and error bars therefore take as given ("these training texts"), unless
            `--resample-data` draws it anew.
        resampled: settings besides `random_seed` that make every seed draw texts of its own (`--resample-data`), for
            evals that otherwise take the first texts of a source.
        side_by_side: whether several SAEs of a hook may be scored at the same time, once one has been: `Job.score` then
            changes nothing that it reads for another SAE, and runs the model for decoders that are not linear alone.
        texts: for an eval whose `start` does more than read texts, so that a dry run leaves it out: takes what `start`
            takes, and gives what the job will ask the pass for, without its SAEs.
        judge_price: takes the settings, the number of seeds, whether there are controls and the number of SAEs; gives
            what a judge that is paid will read and write, None for another.
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
    models: frozenset[ModelKind] = frozenset({"language"})
    embedded: Mapping[str, Any] = field(default_factory=dict)
    synthetic: Mapping[str, Any] = field(default_factory=dict)
    demo: Mapping[str, Any] = field(default_factory=dict)
    caveats: tuple[Caveat, ...] = ()
    shows: Shows = field(default_factory=Shows)
    needs: frozenset[Need] = frozenset()
    weights_suffice: bool = False
    fixed_tokens: str = ""
    transcoders_apart: str = ""
    given: str = ""
    resampled: Mapping[str, Any] = field(default_factory=dict)
    side_by_side: bool = False
    texts: Callable[[EvalContext, Any], Sequence[Request]] | None = None
    judge_price: Callable[[Any, int, bool, int], Any] | None = None

    def given_with(self, *, resample_data: bool) -> str:
        """What error bars take as given; empty if nothing, or if every seed drew its own texts."""
        return "" if resample_data and "random_seed" in config_fields(self.config) else self.given

    def refusal(self, member: Member) -> str:
        """Why this eval cannot take an SAE, as far as what the eval needs tells; empty if it can."""
        from sae_bench.language_models.hooks import hooks_side_by_side, parse_hook_name

        if not self.weights_suffice and (reason := getattr(member.sae, "weights_only", "")):
            return f"{self.name} needs codes, and {reason}."
        if SINGLE_TOKENS in self.needs and getattr(member.sae, "reads_rows", False):
            return (
                f"{self.name} encodes tokens without the texts that they stand in, and this SAE encodes a token by the "
                "tokens before it. Next: choose evals that read whole texts (core, sparse_probing, "
                "sparse_probing_sae_probes, autointerp, meta_structure, scr, tpp)."
            )
        if not self.needs & {RECONSTRUCTION, PREDICTION, INTERVENTION}:
            return ""
        if reason := getattr(member.sae, "codes_only", ""):
            return f"{self.name} needs a reconstruction, and {reason}"
        touched = [member.hook_name_out, *([member.hook_name] if SINGLE_TOKENS in self.needs else [])]
        several = [hook for hook in touched if len(hooks_side_by_side(hook)) > 1]
        if INTERVENTION in self.needs and several:
            return f"{self.name} changes what one hook of the model gives, and '{several[0]}' is of several layers."
        if INTERVENTION in self.needs and parse_hook_name(member.hook_name_out).is_read_only:
            return (
                f"{self.name} puts something else in the place of what the SAE reconstructs, and the value at "
                f"'{member.hook_name_out}' can be read and not changed."
            )
        if RECONSTRUCTION not in self.needs or member.hook_name_out == member.hook_name:
            return ""
        return (
            f"{self.name} compares a reconstruction with what the SAE reads, and this transcoder reads "
            f"'{member.hook_name}' and predicts '{member.hook_name_out}'. Next: choose evals of its codes "
            "(sparse_probing, sparse_probing_sae_probes, absorption, autointerp, meta_structure)."
        )

    def bounds_of(self, path: str) -> tuple[float | None, float | None]:
        """Range of a metric; one that is no headline has that of its category, if all headlines there have the same."""
        declared = {metric.path: metric.bounds for metric in self.metrics}
        category = {bounds for name, bounds in declared.items() if name.split(".")[0] == path.split(".")[0]}
        return declared.get(path, category.pop() if len(category) == 1 else (None, None))

    def caveats_of(self, path: str) -> tuple[Caveat, ...]:
        """The caveats of one metric."""
        return tuple(caveat for caveat in self.caveats if caveat.is_about(path))

    @property
    def type_id(self) -> str:
        """What its results call it: the published id, which is not always its name."""
        default = self.output.model_fields["eval_type_id"].default
        return default if isinstance(default, str) else self.name
