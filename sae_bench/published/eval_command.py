"""`python -m sae_bench.evals.<eval>.main`: one command per eval, its flags made from the fields of the eval's config.

Flags are written with underscores, as published; dashes are taken too.
"""

from __future__ import annotations

import logging
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from sae_bench.cli.console import show_summary
from sae_bench.cli.process import configure_logging
from sae_bench.cli.progress import run_progress
from sae_bench.cli.values import FOLDER
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.evals.base import EvalSpec
from sae_bench.published.entry_points import EntryOptions, Settings, evaluate_selected, select_saes
from sae_bench.results.model import config_fields
from sae_bench.run import planning
from sae_bench.run.planning import FIRST_SEED

Adjust = Callable[[dict[str, Any]], dict[str, Any]]
"""From the settings that were given to those that are meant."""

Choose = Callable[[list[SAEHandle], Mapping[str, Any]], list[SAEHandle]]
"""From the SAEs that were selected, and the settings, to those that are evaluated."""

logger = logging.getLogger(__name__)

_NUMBERS: dict[Any, click.ParamType] = {int: click.INT, float: click.FLOAT}


def eval_command(
    spec: EvalSpec,
    *,
    positional_patterns: bool = False,
    model_required: bool = True,
    adjust: Adjust = dict,
    choose: Choose = lambda handles, _settings: handles,
) -> click.Command:
    """The command of one eval.

    Args:
        positional_patterns: whether the two patterns may also stand without their flags.
        model_required: whether the model has to be named, or is the one that each SAE names.
        adjust: from the settings that were given to those that are meant.
        choose: from the SAEs that were selected to those that are evaluated.
    """
    arguments: list[click.Parameter] = []
    if positional_patterns:
        arguments = [click.Argument(["patterns"], nargs=-1, metavar="[SAE_REGEX_PATTERN SAE_BLOCK_PATTERN]")]

    def callback(patterns: tuple[str, ...] = (), **given: Any) -> None:
        release, block = _two_patterns(given["sae_regex_pattern"], given["sae_block_pattern"], patterns)
        _evaluate(spec, release, block, given, adjust(_settings(spec, given)), choose)

    kind = click.Command if positional_patterns else _ListFlags
    return kind(
        spec.name,
        params=[*arguments, *_common_options(spec, model_required=model_required), *_setting_options(spec)],
        callback=callback,
        help=f"{spec.title}: {spec.summary} Results go straight into the output folder.",
        context_settings={
            "help_option_names": ["-h", "--help"],
            "max_content_width": 120,
            "token_normalize_func": lambda token: token.replace("-", "_"),
        },
    )


class _ListFlags(click.Command):
    """A command without positional arguments; its list flags also take several values in a row, as in `--ks 1 2 5`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        lists = {flag.lstrip("-") for param in self.params if getattr(param, "multiple", False) for flag in param.opts}
        repeated: list[str] = []
        flag, n_values = "", 0
        for arg in args:
            if arg.startswith("--"):
                flag, n_values = arg if arg.lstrip("-").replace("-", "_") in lists else "", 0
            else:
                n_values += 1
                if flag and n_values > 1:
                    repeated.append(flag)
            repeated.append(arg)
        return super().parse_args(ctx, repeated)


def only_chosen(spec: EvalSpec, prefix: str) -> Adjust:
    """Of the switches with this prefix, those that were turned on turn the others off; none given means all."""
    switches = [name for name in config_fields(spec.config) if name.startswith(prefix)]

    def adjust(settings: dict[str, Any]) -> dict[str, Any]:
        if not any(settings.get(name) for name in switches):
            return settings
        off = [name for name in switches if name not in settings]
        if off:
            logger.warning("not computed, because flags of other metrics were given: %s", ", ".join(off))
        return {**settings, **dict.fromkeys(off, False)}

    return adjust


# ---- running


def _evaluate(
    spec: EvalSpec, release: str, block: str, given: Mapping[str, Any], settings: dict[str, Any], choose: Choose
) -> None:
    configure_logging(bool(given["verbose"]))
    start = perf_counter()
    llm_dtype = settings.pop("llm_dtype", config_fields(spec.config)["llm_dtype"].default or "auto")
    planning.make_config(spec, settings)  # a wrong value shows before the model is loaded
    handles = choose(select_saes(release, block, data_dir=given["data_dir"]), settings)
    # the seed of texts that are always drawn is that of the run; elsewhere it is a setting like the others
    seeded = "random_seed" in planning.run_fields(spec)
    first_seed = settings.pop("random_seed", FIRST_SEED) if seeded else settings.get("random_seed", FIRST_SEED)
    with run_progress() as progress:
        summary = evaluate_selected(
            spec,
            handles,
            Settings(given["model_name"], llm_dtype, settings, first_seed),
            EntryOptions(
                output_path=given["output_folder"],
                device=given["device"],
                force_rerun=given["force_rerun"],
                artifacts_path=None if given["save_activations"] else given["artifacts_path"],
                clean_up_activations=given["clean_up_activations"],
                n_seeds=given["seeds"],
                data_dir=given["data_dir"],
                listener=progress.listener,
            ),
        )
    show_summary([spec], summary, given["output_folder"], perf_counter() - start)
    if summary.failures:
        raise SystemExit(1)


def _two_patterns(release: str | None, block: str | None, positional: tuple[str, ...]) -> tuple[str, str]:
    """The patterns from their flags, and from the arguments without a flag where those lack."""
    rest = list(positional)
    patterns = [flag if flag is not None else rest.pop(0) if rest else None for flag in (release, block)]
    for name, pattern in zip(("sae_regex_pattern", "sae_block_pattern"), patterns, strict=True):
        if pattern is None:
            raise click.UsageError(f"Missing --{name}: a regular expression, or '.*' for all.")
    if rest:
        raise click.UsageError(f"Got unexpected extra argument: {rest[0]}")
    return str(patterns[0]), str(patterns[1])


def _settings(spec: EvalSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were given, lists split at commas."""
    settings: dict[str, Any] = {}
    for name in config_fields(spec.config):
        value = given.get(name)
        if isinstance(value, tuple):
            value = [part.strip() for text in value for part in text.split(",") if part.strip()] or None
        if name != "model_name" and value is not None:
            settings[name] = value
    return settings


# ---- flags


def _setting_options(spec: EvalSpec) -> list[click.Parameter]:
    fields = config_fields(spec.config)
    return [_setting_option(name, field) for name, field in fields.items() if name != "model_name"]


def _setting_option(name: str, field: FieldInfo) -> click.Option:
    """The flag of one setting; it is None, or an empty tuple, where it was not given."""
    default = field.get_default(call_default_factory=True)
    shown = "" if default is None or default == "" else f"  [default: {_as_text(default)}]"
    help_text = f"{field.description}{shown}"
    kind, many = _kind(field.annotation)
    if kind is bool:
        return click.Option([name, f"--{name}/--no_{name}"], default=None, help=help_text)
    if many:
        help_text += " Repeat it, or separate by commas."
    return click.Option([name, f"--{name}"], type=kind, multiple=many, default=None, help=help_text)


def _kind(annotation: Any) -> tuple[Any, bool]:
    """The type of a flag's value, and whether there may be several."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        return click.Choice([str(choice) for choice in get_args(annotation)]), False
    if get_origin(annotation) in (list, tuple):
        return click.STRING, True
    return (bool if annotation is bool else _NUMBERS.get(annotation, click.STRING)), False


def _as_text(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, list | tuple) else str(default)


def _common_options(spec: EvalSpec, *, model_required: bool) -> list[click.Parameter]:
    """The flags that every eval has."""
    model_help = "Hub id, directory, .gguf file, TransformerLens alias or 'embedded'."
    if not model_required:
        model_help += "  [default: the model that each SAE names]"
    options = [
        click.Option(
            ["--sae_regex_pattern"],
            help="Regular expression for SAELens releases, matched as a whole; one that matches 'embedded' selects the "
            "SAEs that come with this package.",
        ),
        click.Option(["--sae_block_pattern"], help="Regular expression for the ids within a release."),
        click.Option(
            ["--model_name"], required=model_required, default=None if model_required else "", help=model_help
        ),
        click.Option(
            ["--output_folder"], type=FOLDER, default=Path("eval_results") / spec.name, show_default=True,
            help="Where results go: <folder>/<release>_<id>_eval_results.json.",
        ),
        click.Option(["--force_rerun"], is_flag=True, help="Compute again what is there already."),
        click.Option(
            ["--artifacts_path"], type=FOLDER,
            help="Keep the model's activations in this folder, so that SAEs added later need no pass; off by default.",
        ),
        click.Option(
            ["--save_activations"], is_flag=True,
            help="Published meaning: turns the saving of activations OFF, even if --artifacts_path is given.",
        ),
        click.Option(
            ["--clean_up_activations"], is_flag=True, help="Delete what was kept in --artifacts_path for this model."
        ),
        click.Option(["--device"], default="auto", show_default=True, help="auto, cpu, cuda, cuda:<i> or mps."),
        click.Option(
            ["--data_dir"], type=FOLDER, help="Mirror of hub repositories, <dir>/<org>/<name>; goes before the hub."
        ),
        click.Option(
            ["--seeds"], type=int, default=1, show_default=True, help="Number of seeds; scores are means over them."
        ),
    ]  # fmt: skip
    if "verbose" not in config_fields(spec.config):
        options.append(click.Option(["--verbose"], is_flag=True, help="Show what libraries say, and tracebacks."))
    return list(options)
