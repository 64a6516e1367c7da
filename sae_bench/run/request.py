"""What a run is asked for: one object, whoever asks, checked before anything is loaded.

Flags of a command, a YAML file and keywords of a function become a `RunRequest`; `sae_bench.run.evaluate.execute`
carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.errors import PrerequisiteError, UnknownNameError, UsageError
from sae_bench.evals.base import JUDGE, EvalSpec
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.placement import read_device_map
from sae_bench.language_models.token_choice import TokenChoice
from sae_bench.results.model import BaseEvalConfig, config_fields, own_copy
from sae_bench.run.planning import (
    EMBEDDED_PCA_CORPUS,
    FIRST_SEED,
    choose_evals,
    make_config,
    refuse_run_fields,
    run_fields,
)
from sae_bench.run.settings_files import read_settings
from sae_bench.text_files import check_words, parse_yaml, read_yaml

MAX_SEEDS = 1000
LAST_SEED = 2**32 - 1 - MAX_SEEDS
"""Generators of random numbers take 32 bits, and later seeds follow the first."""
_JUDGE_FIELDS = ("judge", "judge_model", "judge_base_url")
OF_A_MODEL = (
    "llm_dtype",
    "device_map",
    "attn_implementation",
    "quantize",
    "hook",
    "ladder",
    "prepend_bos",
    "exclude_tokens",
    "seqpos_slice",
)
"""What is said of a model and its SAEs, besides their names."""
_PLACES = ("model", "saes", *OF_A_MODEL)
"""What a request file says at its top if it has one model, and under `models` for each of several."""

Overrides = Mapping[str, Mapping[str, Any]]
"""Eval -> setting -> value, as a user gave them."""

_Model = TypeVar("_Model", bound=BaseModel)


class Target(BaseModel):
    """One model and the SAEs to evaluate on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: InstanceOf[LanguageModel] | str | None = Field(
        description="Hub id, directory, .gguf file, TransformerLens alias, 'embedded', or a loaded model; None takes "
        "the model that each SAE names."
    )
    saes: tuple[InstanceOf[SAEHandle] | str, ...] = Field(min_length=1, description="SAE specs, or handles of SAEs.")
    llm_dtype: str = Field(default="auto", description="dtype in which the model is loaded.")
    device_map: str | dict[str, str | int] | None = Field(
        default=None,
        description="Divides the model over devices: auto, balanced, or module -> device, as JSON perhaps.",
    )
    attn_implementation: str | None = Field(
        default=None, description="How attention is computed, such as eager or sdpa; None leaves it to transformers."
    )
    quantize: Literal["8bit", "4bit"] | None = Field(
        default=None, description="Quantises the model's weights when they are read; needs bitsandbytes."
    )
    hook: str | None = Field(default=None, description="Where SAEs without a hook of their own sit.")
    output_folder: Path | None = Field(default=None, description="Results of this model go here.")
    prepend_bos: bool | None = Field(
        default=None, description="Whether texts start with BOS; None: wherever the tokenizer has one."
    )
    exclude_tokens: tuple[int, ...] = Field(
        default=(), description="Token ids that SAEs neither read nor change, besides BOS, EOS and PAD."
    )
    seqpos_slice: tuple[int | None, ...] | None = Field(
        default=None, description="Positions that SAEs read and change, as START:STOP:STEP or its parts; None: all."
    )
    ladder: tuple[str, ...] = Field(
        default=(), description="SAE specs, each of the snapshots of one training run; added to the SAEs."
    )

    @model_validator(mode="before")
    @classmethod
    def _with_ladders(cls, values: Any) -> Any:
        """The SAEs of ladders are SAEs of the run."""
        both = [values.get(name) or () for name in ("ladder", "saes")] if isinstance(values, Mapping) else []
        if not any(both) or not all(isinstance(one, str | list | tuple) for one in both):
            return values
        ladder, saes = ((one,) if isinstance(one, str) else tuple(one) for one in both)
        return {**values, "ladder": ladder, "saes": (*saes, *(spec for spec in ladder if spec not in saes))}

    @field_validator("device_map", mode="after")
    @classmethod
    def _devices(cls, value: str | dict[str, str | int] | None) -> str | dict[str, str | int] | None:
        return None if value is None else read_device_map(value)

    @field_validator("exclude_tokens", mode="before")
    @classmethod
    def _ids(cls, value: Any) -> Any:
        """Ids one by one, or several in a text, separated by commas."""
        parts = [value] if isinstance(value, str | int) else list(value or ())
        return tuple(one for part in parts for one in (part.split(",") if isinstance(part, str) else [part]))

    @field_validator("seqpos_slice", mode="before")
    @classmethod
    def _slice(cls, value: Any) -> Any:
        """A text `START:STOP:STEP`, of which each may be empty, or its parts."""
        if isinstance(value, str):
            value = tuple(part.strip() or None for part in value.split(":"))
            if len(value) == 1:
                raise ValueError("write START:STOP or START:STOP:STEP, such as 1: for all but the first position")
        return value

    @field_validator("seqpos_slice", mode="after")
    @classmethod
    def _some_positions(cls, value: tuple[int | None, ...] | None) -> tuple[int | None, ...] | None:
        try:
            TokenChoice.of((), value)
        except UsageError as error:  # the field is named anyway
            raise ValueError(str(error).removeprefix("seqpos_slice ")) from error
        return value

    @field_validator("saes", mode="before")
    @classmethod
    def _one_spec(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("*", mode="before")
    @classmethod
    def _filled(cls, value: Any) -> Any:
        return _checked_words(value)


class RunRequest(BaseModel):
    """Everything that a run can be asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: tuple[Target, ...] = Field(min_length=1, description="Models, each with its SAEs.")
    evals: tuple[InstanceOf[EvalSpec] | str, ...] = Field(
        default=("core",), description="Evals by name, 'all', or as package.module:SPEC."
    )
    preset: Literal["paper", "quick"] | None = Field(
        default="paper", description="Published settings, a few minutes on a laptop, or None: the defaults."
    )
    settings: Mapping[str, InstanceOf[BaseEvalConfig] | Mapping[str, Any]] = Field(
        default_factory=dict, description="Eval -> setting -> value, over the preset; or an eval's whole configuration."
    )
    seeds: int = Field(default=1, ge=1, le=MAX_SEEDS, description="Number of seeds; scores are means over them.")
    random_seed: int = Field(
        default=FIRST_SEED, ge=0, le=LAST_SEED, description="The first seed, also that of the texts."
    )
    resample_data: bool = Field(default=False, description="Whether every seed draws texts of its own.")
    shard: str | None = Field(
        default=None, description="The share of the SAEs to evaluate, such as 2/5, or slurm: that of a Slurm array."
    )
    engine: Literal["process", "ray"] = Field(
        default="process", description="Who does the work: this process, or the workers of a Ray cluster."
    )
    ray_address: str | None = Field(
        default=None, description="A Ray cluster to join: auto, or host:port; None starts one on this machine."
    )
    gpus_per_worker: float = Field(default=1.0, gt=0, description="GPUs of a Ray worker, 0.5 for two on one GPU.")
    output_folder: Path = Field(default=Path("eval_results"), description="Where results go.")
    folder_per_eval: bool = Field(default=True, description="Whether each eval has a folder of its own there.")
    data_dir: Path | None = Field(default=None, description="Mirror of hub repositories, <dir>/<org>/<name>.")
    dataset_files: tuple[Path, ...] = Field(default=(), description="YAML files that declare datasets.")
    pca_corpus: str = Field(default=EMBEDDED_PCA_CORPUS, description="Corpus that baselines are fitted to.")
    nulls: bool = Field(
        default=False,
        description="Whether the null baselines of every SAE are evaluated too: random_l0_matched, "
        "permuted_decoder, frozen_encoder.",
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:<i> or mps.")
    sae_dtype: str = Field(default="auto", description="dtype of the SAEs; auto is the model's.")
    batch_tokens: int | None = Field(default=None, ge=1, description="Padded tokens that the model reads at once.")
    max_saes: int | None = Field(default=None, ge=1, description="SAEs held in memory at a time.")
    cache_activations: Path | None = Field(default=None, description="Keeps the model's activations.")
    clean_up_activations: bool = Field(default=False, description="Whether what was kept there is deleted at the end.")
    force_rerun: bool = Field(default=False, description="Whether results that are there are computed again.")
    controls: bool = Field(
        default=True, description="Whether evals that pick latents are repeated with random ones, to hold against."
    )
    published_nulls: bool = Field(
        default=False, description="Whether -1 is written for null where published files always hold a number."
    )
    judge: Literal["openai", "local", "none"] | None = Field(default=None, description="Who judges explanations.")
    judge_model: str | None = Field(default=None, description="The judge's model.")
    judge_base_url: str | None = Field(default=None, description="An OpenAI-compatible endpoint.")
    judge_key: SecretStr | None = Field(default=None, exclude=True, description="Key of the judge; written nowhere.")

    @field_validator("evals", mode="before")
    @classmethod
    def _one_eval(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | EvalSpec) else value

    @field_validator("*", mode="before")
    @classmethod
    def _filled(cls, value: Any) -> Any:
        return _checked_words(value)

    # ---- where it comes from

    @classmethod
    def of(cls, **values: Any) -> RunRequest:
        """A request from fields by name; an error says which field, what was got and what is allowed.

        Raises:
            UsageError: a field that does not exist, or a value that it does not take.
        """
        return _validated(cls, values, "option of a run")

    @classmethod
    def from_flags(cls, flags: Mapping[str, Any], *, request_file: Path | None = None) -> RunRequest:
        """A request from the flags of `sae-bench run`, over those of a request file.

        Args:
            flags: only those that were given, if there is a file.
        Raises:
            UsageError: as `of`; or no model or SAE is named.
        """
        given = dict(flags)
        specs, files = given.pop("sae_specs", ()), given.pop("settings_files", ())
        texts = given.pop("settings", ())
        of_target: dict[str, Any] = {key: given.pop(key) for key in ("model", *OF_A_MODEL) if key in given}
        of_target = {key: value for key, value in of_target.items() if value != ()}
        if specs:
            of_target["saes"] = specs
        values = {} if request_file is None else _read_file(request_file)
        values |= given
        targets: Sequence[Mapping[str, Any]] = values.get("targets") or ({},)
        if len(targets) > 1 and {"model", "saes", "ladder"} & of_target.keys():
            raise UsageError(f"'{request_file}' names {len(targets)} models; --model, --sae and --ladder go with one.")
        values["targets"] = [{**target, **of_target} for target in targets]
        for target in values["targets"]:
            for key, flag in (("model", "--model"), ("saes", "--sae")):
                if not target.get(key) and not (key == "saes" and target.get("ladder")):
                    raise UsageError(f"Missing option '{flag}'. Next: add it, or name it in a file for --request.")
        request = cls.of(**{**values, "settings": values.get("settings", {})})
        names = [spec.name for spec in request.specs()]
        own = merge(read_settings(files, names), request.settings, parse_settings(texts, names))
        return request.model_copy(update={"settings": own})

    @classmethod
    def from_yaml(cls, path: str | Path) -> RunRequest:
        """A request from a YAML file. Raises `UsageError` as `of`; the message names the file."""
        return cls.of(**_read_file(Path(path)))

    # ---- what it means

    def specs(self) -> list[EvalSpec]:
        """The evals, each once. Raises `UsageError` if there are none or one is unknown."""
        return choose_evals(self.evals)

    def eval_words(self) -> set[str]:
        """What the evals were asked for with, word by word; specs are not among them."""
        return {word.strip() for text in self.evals if isinstance(text, str) for word in text.split(",")}

    def overrides(self, specs: Sequence[EvalSpec]) -> Overrides:
        """The settings of each eval that go over its preset, checked.

        Raises:
            UsageError: settings of an eval that is not asked for, that do not exist, or that describe the run.
        """
        names = [spec.name for spec in specs]
        for name in self.settings:
            if name not in names:
                raise UsageError(f"settings of '{name}': it is not among the evals of this run ({', '.join(names)}).")
        judge = {name: getattr(self, name) for name in _JUDGE_FIELDS if getattr(self, name) is not None}
        if judge and not any(JUDGE in spec.needs for spec in specs):
            flag = next(iter(judge)).replace("_", "-")
            raise UsageError(f"--{flag}: none of the evals of this run has a judge ({', '.join(names)}).")
        settings_of_eval: dict[str, Mapping[str, Any]] = {}
        for spec in specs:
            given = self.settings.get(spec.name, {})
            values = self._of_config(spec, given) if isinstance(given, BaseEvalConfig) else dict(given)
            refuse_run_fields(spec, values)
            settings_of_eval[spec.name] = {**values, **(judge if JUDGE in spec.needs else {})}
            make_config(spec, settings_of_eval[spec.name])
        return settings_of_eval

    def preset_of(self, spec: EvalSpec) -> str | None:
        """The preset of an eval; a whole configuration has none."""
        return None if isinstance(self.settings.get(spec.name), BaseEvalConfig) else self.preset

    def _of_config(self, spec: EvalSpec, config: BaseEvalConfig) -> dict[str, Any]:
        """A whole configuration as settings; what describes the run has to agree with the run.

        Raises:
            UsageError: it is another eval's, or it names another model, dtype or seed than the run.
        """
        if not isinstance(config, spec.config):
            raise UsageError(f"settings of {spec.name}: a {type(config).__name__} is no {spec.config.__name__}.")
        fields = config_fields(spec.config)
        values = {name: getattr(own_copy(config), name) for name in fields}
        asked: dict[str, set[Any]] = {
            "model_name": {t.model.name if isinstance(t.model, LanguageModel) else t.model for t in self.targets},
            "llm_dtype": {target.llm_dtype for target in self.targets},
            "random_seed": {self.random_seed},
        }
        for key in run_fields(spec):
            value = values.pop(key)
            left_open = {None, "", "auto", fields[key].default}
            if value not in left_open and not asked[key] & {value, None, "auto"}:
                shown = ", ".join(str(one) for one in asked[key])
                raise UsageError(f"the configuration of {spec.name} says {key}={value!r}, the run {shown!r}.")
        return values


def merge(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of evals over one another, the later ones over the earlier."""
    merged: dict[str, Any] = {}
    for part in parts:
        for name, values in part.items():
            before = merged.get(name, {})
            both = isinstance(values, Mapping) and isinstance(before, Mapping)
            merged[name] = {**before, **values} if both else values
    return merged


def parse_settings(settings: Sequence[str], names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """`eval.field=value` texts as eval -> field -> value; values are read as YAML.

    Raises:
        UsageError: a text of another form, of an eval that is not in `names`, or whose value is no YAML.
    """
    parsed: dict[str, dict[str, Any]] = {}
    for text in settings:
        left, equals, value = text.partition("=")
        name, dot, field = left.strip().partition(".")
        if not equals or not dot:
            raise UsageError(f"--set {text}: write EVAL.FIELD=VALUE, e.g. core.context_size=256.")
        if name not in names:
            raise UsageError(f"--set {text}: '{name}' is not among the evals of this run ({', '.join(names)}).")
        parsed.setdefault(name, {})[field.strip()] = parse_yaml(value, f"--set {left}: the value")
    return dict(parsed)


def _read_file(path: Path) -> dict[str, Any]:
    """The fields of a request file, `model` and `saes` (or `models`) as `targets`."""
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"'{path}' has to map options to values, such as 'model: embedded'.")
    single = {key: content.pop(key) for key in _PLACES if key in content}
    several = content.pop("models", None)
    known = {*RunRequest.model_fields, *_PLACES, "models"} - {"targets", "judge_key", "folder_per_eval"}
    for key in content:
        if key not in known:
            raise UnknownNameError(f"option in '{path}'", key, known)
    if several is None:
        return {**content, "targets": [single] if single else []}
    if {"model", "saes"} & single.keys():
        raise UsageError(f"'{path}' has both 'model' or 'saes' and 'models'. Next: write all models under 'models'.")
    if not isinstance(several, list) or not several or not all(isinstance(one, dict) for one in several):
        raise UsageError(f"'{path}': 'models' is a list of mappings, such as '- {{model: embedded, saes: [..]}}'.")
    for one in several:
        _check_names(Target, one, f"option of a model in '{path}'")
    return {**content, "targets": [{**single, **one} for one in several]}


def _check_names(of: type[BaseModel], values: Mapping[str, Any], kind: str) -> None:
    for key in values:
        if key not in of.model_fields:
            raise UnknownNameError(kind, str(key), of.model_fields)


def _validated(of: type[_Model], values: Mapping[str, Any], kind: str) -> _Model:
    _check_names(of, values, kind)
    try:
        request = of.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{where.removeprefix('targets.')}: {message} (got {_shown(first['input'])}).") from error
    data_dir = getattr(request, "data_dir", None)
    if data_dir is not None and not data_dir.is_dir():
        raise PrerequisiteError(f"there is no folder '{data_dir}'. Next: give --data-dir a mirror that exists.")
    return request


def _checked_words(value: Any) -> Any:
    """The value; text has to say something, also within lists."""
    if isinstance(value, str | Path):
        check_words(str(value))
    elif isinstance(value, list | tuple):
        for part in value:
            _checked_words(part)
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
