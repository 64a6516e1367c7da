"""The published `arg_parser` and `create_config_and_selected_saes` of an eval, made from its command."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sae_bench.errors import UsageError
from sae_bench.published.utils import activation_collection, sae_selection_utils
from sae_bench.results.model import BaseEvalConfig, batch_field, config_fields, config_from

_PATTERNS = ("sae_regex_pattern", "sae_block_pattern")
ACTIVATION_FLAGS = ("artifacts_path", "save_activations", "clean_up_activations")
_EVERY = (*_PATTERNS, "model_name", "output_folder", "force_rerun")
_DEFAULTS = {"artifacts_path": "artifacts", "save_activations": True}
"""Of flags for which the commands have another default than was published."""


@dataclass(frozen=True)
class PublishedArguments:
    """What a script does with the command line of one eval.

    Attributes:
        command: the command whose flags they are.
        config: class of the eval's settings.
        flags: published flags beside those of every eval and of the settings.
        positional: whether the two patterns stand without a flag.
        batch_share: the eval takes this share of a model's published batch size; None: it has no published sizes.
        switches: prefix of the settings that are off unless their flag is given.
        adjust: from the settings that were given to those that are meant.
    """

    command: click.Command
    config: type[BaseEvalConfig]
    flags: tuple[str, ...] = ()
    positional: bool = False
    batch_share: int | None = 1
    switches: str | None = None
    adjust: Callable[[dict[str, Any]], dict[str, Any]] = dict

    def arg_parser(self) -> ArgumentParser:
        """A parser with the published flags, and one for every setting."""
        parser = ArgumentParser(description=(self.command.help or "").replace("%", "%%"))
        names = {*_EVERY, *self.flags, *config_fields(self.config)}
        for option in self.command.params:
            if isinstance(option, click.Option):
                published = [name for name in _names(option) if name in self.flags] or [option.name]
                if published[0] in names:
                    self._add(parser, option, str(published[0]))
        return parser

    def create_config_and_selected_saes(self, args: Namespace) -> tuple[Any, list[tuple[str, str]]]:
        """Settings, and (release, id) of the SAEs that the patterns match.

        Raises:
            UsageError: a value that a setting does not take, or no SAE matches.
        """
        return self.create_config(args), self.selected_saes(args)

    def selected_saes(self, args: Namespace) -> list[tuple[str, str]]:
        """(release, id) of the SAEs that the two patterns match. Raises `UsageError` if there is none."""
        selected = sae_selection_utils.get_saes_from_regex(*(getattr(args, name) for name in _PATTERNS))
        if not selected:
            raise UsageError(f"no SAE matches {args.sae_regex_pattern!r} with {args.sae_block_pattern!r}.")
        return selected

    def create_config(self, args: Namespace) -> Any:
        """Settings; what was not given is as published for the model, or the default."""
        given = {name: getattr(args, name, None) for name in config_fields(self.config)}
        defaults = {name: _default(self.config, name) for name in given}
        chosen = {name: value for name, value in given.items() if value is not None and value != defaults[name]}
        return config_from(self.config, {**self._of_model(given), **self.adjust(chosen)})

    def _of_model(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Batch size and dtype that the published results of a model were made with, where neither was given."""
        name, batch, published = given.get("model_name"), batch_field(self.config), dict[str, Any]()
        if self.batch_share is None:
            return published
        tables = activation_collection.LLM_NAME_TO_BATCH_SIZE, activation_collection.LLM_NAME_TO_DTYPE
        if name in tables[0] and batch is not None and given[batch] is None:
            published[batch] = tables[0][name] // self.batch_share
        if name in tables[1] and "llm_dtype" in given and given["llm_dtype"] is None:
            published["llm_dtype"] = tables[1][name]
        return published

    def _add(self, parser: ArgumentParser, option: click.Option, name: str) -> None:
        help_text = (option.help or "").replace("%", "%%")
        if self.positional and name in _PATTERNS:
            parser.add_argument(name, help=help_text)
            return
        flags, default = list(option.opts), self._default_of(option)
        flags = [flag for flag in flags if flag.startswith("--")]
        if not option.is_flag:
            many: dict[str, Any] = {"nargs": "+"} if option.multiple else {}
            required = option.required or option.name in _PATTERNS
            kind = _kind(option, self.config)
            parser.add_argument(
                *flags, dest=name, type=kind, default=default, required=required, help=help_text,
                choices=list(option.type.choices) if isinstance(option.type, click.Choice) else None, **many,
            )  # fmt: skip
            return
        turns_off = name == "save_activations"
        parser.add_argument(
            *flags, dest=name, action="store_false" if turns_off else "store_true", default=default, help=help_text
        )
        for flag in option.secondary_opts:
            parser.add_argument(flag, dest=name, action="store_false", default=default, help=f"Turns --{name} off.")

    def _default_of(self, option: click.Option) -> Any:
        name = str(option.name)
        if name in _DEFAULTS:
            return _DEFAULTS[name]
        if self.switches is not None and name.startswith(self.switches):
            return False
        if name in config_fields(self.config):
            default = _default(self.config, name)
            return None if name == "llm_dtype" and batch_field(self.config) else default
        if option.is_flag:
            return False
        return str(option.default) if isinstance(option.default, str | Path) else None


def _names(option: click.Option) -> list[str]:
    return [flag.lstrip("-") for flag in option.opts]


def _default(config: type[BaseEvalConfig], name: str) -> Any:
    return config_fields(config)[name].get_default(call_default_factory=True)


def _kind(option: click.Option, config: type[BaseEvalConfig]) -> Callable[[str], Any]:
    """What turns the text of an argument into its value."""
    if isinstance(option.type, click.types.BoolParamType):
        return _truth
    if option.multiple:
        default = _default(config, str(option.name)) or [""]
        return type(default[0]) if type(default[0]) in (int, float) else str
    return {click.INT: int, click.FLOAT: float}.get(option.type, str)


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"
