"""What every eval's configuration and output share: published field names, checked configs, provenance.

A result file is the JSON of one `BaseEvalOutput`. The fields up to `eval_result_unstructured` are the published ones;
those after it are additions (protocol, provenance, per-seed values, what could not be computed).
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from sae_bench.atomic import write_pieces_atomically, write_text_atomically
from sae_bench.errors import UnknownNameError, UsageError
from sae_bench.results.published_numbers import with_published_nulls


class ReadAtOnce:
    """Within `Annotated`: marks the setting that says how many texts the model reads at once (`batch_field`)."""


DEFAULT_DISPLAY: dict[str, Any] = {"ui_default_display": True}
"""`json_schema_extra` of a field that a user interface shows first."""


def described(title: str, description: str, *, shown: bool = False, **others: Any) -> Any:
    """A field of an output.

    Args:
        title, description: what the schema of result files says of it.
        shown: whether a user interface shows it first.
        others: arguments of `pydantic.Field`, such as the default; without one, the field has to be given.
    """
    return Field(title=title, description=description, json_schema_extra=DEFAULT_DISPLAY if shown else None, **others)


def optional(title: str, description: str, *, shown: bool = False) -> Any:
    """A field of an output that is null where there is nothing to say; arguments as of `described`."""
    return described(title, description, shown=shown, default=None)


def eval_type(name: str) -> Any:
    """The field that names the eval of an output."""
    return described("Eval Type ID", "Name of the eval.", default=name)


@dataclass(config=ConfigDict(extra="forbid"))
class BaseEvalConfig:
    """Settings of one eval, checked when they are made and at every assignment.

    A subclass is a `pydantic.dataclasses.dataclass` whose fields have a `Field(description=...)`, as default or within
    `Annotated`; the published ones come first, in their order. Being a dataclass it takes fields by position,
    `dataclasses.replace` and `asdict` work, and a plain dataclass may be built on it. A run works on a copy of its own
    and never sees a later change.
    """

    counted = frozenset[str]()
    """Settings that change the numbers of this eval, though they change none elsewhere (a batch size, say)."""

    def __post_init__(self) -> None:
        checked = _checked_class(type(self))
        if checked is not type(self):  # a plain dataclass on top of it: what it inherits is checked here
            self._take(checked(**_inherited_values(self, checked)))

    def __setattr__(self, name: str, value: Any) -> None:
        checked = _checked_class(type(self))
        fields = config_fields(checked)
        if isinstance(value, FieldInfo):  # a plain dataclass on top assigns the defaults that it inherits
            value = value.get_default(call_default_factory=True)
        if name in fields and all(field in vars(self) for field in fields):
            self._take(config_from(checked, {**_inherited_values(self, checked), name: value}))
            return
        known = [field.name for field in dataclasses.fields(self)]
        if name not in known:
            raise UnknownNameError(f"setting of {type(self).__name__}", name, known)
        object.__setattr__(self, name, value)

    def batch_taken(self, limit_of_pass: int) -> int:
        """Texts that the model reads at once where the `batch_field` leaves it open: the pass's, or the eval's own."""
        return limit_of_pass

    def _take(self, checked: BaseEvalConfig) -> None:
        """Take over the values that checking has changed; the others stay the objects that they are."""
        for name in config_fields(type(checked)):
            new, old = getattr(checked, name), vars(self).get(name)
            if new != old or type(new) is not type(old):
                object.__setattr__(self, name, new)


ConfigT = TypeVar("ConfigT", bound=BaseEvalConfig)


def config_fields(config: type[BaseEvalConfig]) -> Mapping[str, FieldInfo]:
    """Settings of an eval by name, in their order, with default, title, description and limits."""
    return vars(_checked_class(config))["__pydantic_fields__"]


def batch_field(config: type[BaseEvalConfig]) -> str | None:
    """The setting that says how many texts the model reads at once, None leaving it open; None if there is none."""
    marked = (name for name, field in config_fields(config).items() if ReadAtOnce in map(type, field.metadata))
    return next(marked, None)


def config_from(config: type[ConfigT], values: Mapping[str, Any], *, named: str = "") -> ConfigT:
    """Checked settings from values by name.

    Args:
        named: what the message calls the settings; the class by default.
    Raises:
        UnknownNameError: a setting that the class does not have; close names are proposed.
        UsageError: a value that a setting does not take.
    """
    fields, named = config_fields(config), named or config.__name__
    for name in values:
        if name not in fields:
            raise UnknownNameError(f"setting of {named}", name, fields)
    try:
        return config(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([named, *(str(part) for part in first["loc"])])
        got = f" (got {first['input']!r})" if first["loc"] else ""  # all settings at once say nothing, or too much
        raise UsageError(f"{where}: {first['msg'].rstrip('.')}{got}.") from error


def config_values(config: BaseEvalConfig) -> dict[str, Any]:
    """The settings as they stand in a result file."""
    checked = _checked_class(type(config))
    return TypeAdapter(checked).dump_python(checked(**_inherited_values(config, checked)), mode="json")


def as_taken(config: ConfigT, limit_of_pass: int) -> ConfigT:
    """The settings as a run took them, which is what its result files hold: no batch size is left open."""
    name = batch_field(type(config))
    if name is None or getattr(config, name) is not None:
        return config
    taken: dict[str, Any] = {name: config.batch_taken(limit_of_pass)}
    return dataclasses.replace(config, **taken)


def own_copy(config: ConfigT) -> ConfigT:
    """A deep copy, checked as a whole: lists that were changed in place are checked too.

    Raises:
        UsageError: a value that a setting does not take.
    """
    copied, checked = copy.deepcopy(config), _checked_class(type(config))
    copied._take(config_from(checked, _inherited_values(copied, checked)))
    return copied


def _checked_class(cls: type) -> type[BaseEvalConfig]:
    """The class itself, or the nearest one below it whose values are checked."""
    if "__dataclass_fields__" not in vars(cls) and inspect.get_annotations(cls):
        raise TypeError(f"{cls.__name__} is no dataclass. Next: put @pydantic.dataclasses.dataclass above it.")
    return next(base for base in cls.__mro__ if "__pydantic_fields__" in vars(base))


def _inherited_values(config: BaseEvalConfig, checked: type[BaseEvalConfig]) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config_fields(checked)}


SHARE = (0.0, 1.0)
"""Bounds of an accuracy, an area under a curve, a fraction."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A headline number: where it stands in the result, which way is better, what chance would give, and its range.

    Attributes:
        bounds: least and greatest value that it can take by definition, None where there is no such limit.
        of_model: whether it is measured on the model without an SAE: a line that scores are read by, ranked nowhere in
            a report.
    """

    path: str
    title: str
    higher_is_better: bool | None = None
    chance: float | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    of_model: bool = False

    def read(self, metrics: Mapping[str, Any]) -> float | None:
        """The value in a result's `eval_result_metrics`."""
        value: Any = metrics
        for part in self.path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return float(value) if isinstance(value, int) else value


class BaseMetrics(BaseModel):
    """One flat category of headline numbers."""

    model_config = ConfigDict(extra="forbid")


class BaseMetricCategories(BaseModel):
    """The categories of an eval's headline numbers."""

    model_config = ConfigDict(extra="forbid")


MANY_ROWS = 1 << 14
"""So many rows of details are written row by row."""


class BaseResultDetail(BaseModel):
    """One row of an eval's details: a latent, a dataset, a letter."""

    model_config = ConfigDict(extra="forbid")


class Provenance(BaseModel):
    """What made a result, enough to make it again."""

    protocol: str = Field(description="Version of the eval's definition; results of one protocol compare.")
    package_version: str = Field(description="Version of sae-bench.")
    commit: str | None = Field(description="Commit of the sae-bench source tree, if it is one.")
    python_version: str = Field(description="Version of Python.")
    torch_version: str = Field(description="Version of PyTorch.")
    transformers_version: str = Field(description="Version of transformers.")
    model: str = Field(description="Name of the language model as given.")
    model_fingerprint: str = Field(description="Short hash of the model's configuration and a sample of its weights.")
    llm_dtype: str = Field(description="dtype of the language model.")
    sae_fingerprint: str | None = Field(
        default=None, description="Short hash of the SAE's files, or of its weights and configuration."
    )
    sae_hook: str | None = Field(default=None, description="Hook at which the SAE sits.")
    sae_dtype: str = Field(description="dtype of the SAE.")
    device: str = Field(description="Device that ran the model.")
    device_map: dict[str, str] | None = Field(
        default=None, description="Module -> device or disk, of a model that is on several; null: all is on one."
    )
    attn_implementation: str | None = Field(
        default=None, description="How the language model computes attention, as transformers calls it."
    )
    llm_quantization: str | None = Field(
        default=None,
        description="How the language model's weights are quantised: 8bit, 4bit, another method; null: not.",
    )
    prepend_bos: bool = Field(description="Whether texts start with BOS.")
    exclude_tokens: list[int] = Field(
        default_factory=list, description="Token ids that SAEs neither read nor change, besides BOS, EOS and PAD."
    )
    seqpos_slice: list[int | None] | None = Field(
        default=None, description="Positions that SAEs read and change, as start, stop and step; null: all."
    )
    seeds: list[int] = Field(description="Seeds of everything random.")
    resample_data: bool = Field(default=False, description="Whether every seed drew texts of its own.")
    datasets: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="Source and revision of each dataset."
    )
    seconds: dict[str, float] = Field(
        default_factory=dict,
        description="Wall-clock seconds per phase; phases marked 'shared' were paid once for all SAEs and evals.",
    )
    published_nulls: bool = Field(
        default=False, description="Whether -1 stands for null in the published fields that always hold a number."
    )
    warnings: list[str] = Field(default_factory=list, description="What a reader of the scores has to know.")


class SeedResult(BaseModel):
    """The headline numbers of one seed, as `category.metric` -> value."""

    seed: int = Field(description="Seed of everything random.")
    metrics: dict[str, float | None] = Field(description="Headline metrics of this seed alone.")


class MetricStatistics(BaseModel):
    """The error bar of one headline metric, or why it has none."""

    mean: float = Field(description="The metric: its mean over seeds.")
    std_over_seeds: float | None = Field(description="Standard deviation of the seeds' values; null with one seed.")
    ci_low: float | None = Field(description="Lower end of the interval over seeds and units.")
    ci_high: float | None = Field(description="Upper end of the interval over seeds and units.")
    confidence: float = Field(default=0.95, description="Confidence of the intervals.")
    se_seeds: float | None = Field(default=None, description="Part of the standard error that more seeds shrink.")
    se_units: float | None = Field(default=None, description="Part of the standard error that more units shrink.")
    bootstrap_low: float | None = Field(
        default=None,
        description="Lower percentile of a bootstrap over seeds and units; too narrow with fewer than ten seeds.",
    )
    bootstrap_high: float | None = Field(default=None, description="Upper percentile of that bootstrap.")
    n_seeds: int = Field(description="Seeds whose values differ; 1 where nothing is random.")
    n_units: int = Field(description="Units (test texts, letters, ...) behind the metric; 0 if they were not kept.")
    unit: str | None = Field(default=None, description="What a unit is.")
    method: str = Field(description="How the interval was computed.")
    reason: str | None = Field(default=None, description="Why there is no interval.")
    given: str = Field(default="", description="What the interval takes as given; empty if nothing.")
    version: int = Field(default=1, description="Version of the methods of these statistics.")


class RelativeValue(BaseModel):
    """A metric relative to what stands beside it, with its interval."""

    value: float | None = Field(default=None, description="The value; null without what it is relative to.")
    ci_low: float | None = Field(default=None, description="Lower end of its interval over seeds and units.")
    ci_high: float | None = Field(default=None, description="Upper end of its interval over seeds and units.")
    reason: str | None = Field(default=None, description="Why it has no value, or no interval.")


class ReferenceValue(RelativeValue):
    """What the metric is with something else in the SAE's place, measured on the same units."""

    name: str = Field(description="What stood in the SAE's place.")


class MetricValidity(BaseModel):
    """What stands beside one headline metric: its floor, its ceiling and its control."""

    floor: ReferenceValue | None = Field(default=None, description="What an SAE of no merit gets.")
    ceiling: ReferenceValue | None = Field(default=None, description="What nothing can beat.")
    control: ReferenceValue | None = Field(
        default=None, description="What the same procedure gets with random latents that are as active."
    )
    others: list[ReferenceValue] = Field(default_factory=list, description="Further values worth knowing.")
    above_floor: RelativeValue = Field(
        default_factory=RelativeValue, description="(score - floor) / (ceiling - floor)."
    )
    score_minus_control: RelativeValue | None = Field(default=None, description="Paired difference to the control.")


CategoriesT = TypeVar("CategoriesT", bound=BaseMetricCategories)
DetailT = TypeVar("DetailT", bound=BaseResultDetail)


class BaseEvalOutput(BaseModel, Generic[ConfigT, CategoriesT, DetailT]):
    """The content of one result file."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")

    eval_type_id: str = Field(title="Eval Type ID", description="Name of the eval.")
    eval_config: ConfigT = Field(title="Eval Config Type", description="Settings of the eval.")
    eval_id: str = Field(title="ID", description="UUID of the run that made this result.")
    datetime_epoch_millis: int = Field(
        title="DateTime (epoch ms)",
        description="When the result was made, in epoch milliseconds.",
        ge=0,
        le=9999999999999,
    )
    eval_result_metrics: CategoriesT = Field(
        title="Result Metrics Categorized", description="Headline numbers by category."
    )
    eval_result_details: list[DetailT] = Field(
        default_factory=list, title="Result Details", description="One row per latent, dataset, letter or attribute."
    )
    sae_bench_commit_hash: str = Field(title="SAE Bench Commit Hash", description="Commit of sae-bench, or 'Unknown'.")
    sae_lens_id: str | None = Field(title="SAE Lens ID", description="Id of the SAE within its release.")
    sae_lens_release_id: str | None = Field(title="SAE Lens Release ID", description="Release that the SAE belongs to.")
    sae_lens_version: str | None = Field(title="SAE Lens Version", description="Version of SAELens, if installed.")
    sae_cfg_dict: dict[str, Any] | None = Field(title="SAE Config Dict", description="Configuration of the SAE.")
    eval_result_unstructured: Any | None = Field(
        default=None, title="Unstructured Results", description="Further results, such as values per class."
    )
    provenance: Provenance | None = Field(
        default=None, title="Provenance", description="Versions, seeds, data, dtype, device and seconds."
    )
    seed_results: list[SeedResult] = Field(
        default_factory=list,
        title="Results per Seed",
        description="Headline numbers of each seed; the metrics above are means.",
    )
    statistics: dict[str, MetricStatistics] = Field(
        default_factory=dict,
        title="Statistics",
        description="Headline metric, as `category.metric` -> spread over seeds and interval over seeds and units.",
    )
    validity: dict[str, MetricValidity] = Field(
        default_factory=dict,
        title="Validity",
        description="Headline metric, as `category.metric` -> floor, ceiling and control, measured in the same run.",
    )
    not_computed: dict[str, str] = Field(
        default_factory=dict, title="Not Computed", description="Field that holds null -> why."
    )

    def to_json(self, indent: int | None = 2, *, published_nulls: bool = False) -> str:
        """The result as JSON text; a value that is not finite becomes null.

        Args:
            indent: spaces per level; None writes one line.
            published_nulls: write -1 where published files always hold a number (`results/published_numbers.py`).
        """
        if not published_nulls:
            return self.model_dump_json(indent=indent)
        return json.dumps(with_published_nulls(self.to_dict()), indent=indent, ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """The result as it stands in its file."""
        return json.loads(self.to_json(indent=None))

    def to_json_file(self, file_path: str | Path, indent: int | None = 2, *, published_nulls: bool = False) -> None:
        """Write the result to a file, whole or not at all; arguments as of `to_json`."""
        if published_nulls or indent is None or len(self.eval_result_details) < MANY_ROWS:
            write_text_atomically(Path(file_path), self.to_json(indent, published_nulls=published_nulls))
        else:
            write_pieces_atomically(Path(file_path), self._json_in_pieces(indent))

    def _json_in_pieces(self, indent: int) -> Iterator[str]:
        """The text of `to_json`, whose many rows of details do not exist as a whole."""
        margin, rows = " " * indent, self.eval_result_details
        text = self.model_copy(update={"eval_result_details": []}).to_json(indent)
        before, empty, after = text.partition(f'\n{margin}"eval_result_details": []')
        assert empty, "a field of every result"
        yield f"{before}{empty[:-1]}"
        for i, row in enumerate(rows):
            lines = row.model_dump_json(indent=indent).replace("\n", f"\n{margin * 2}")
            yield f"{',' if i else ''}\n{margin * 2}{lines}"
        yield f"\n{margin}]{after}"
