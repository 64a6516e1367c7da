"""Files of settings, eval -> setting -> value in YAML: those that come with the package, and one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sae_bench.errors import UnknownNameError, UsageError
from sae_bench.evals.registry import eval_names
from sae_bench.text_files import read_yaml

FOLDER = Path(__file__).parent / "settings"


def shipped() -> dict[str, Path]:
    """Name -> file of the settings that come with the package."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def read_settings(names: Sequence[str], evals: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The settings of the chosen evals from one file after the other, the later ones over the earlier.

    Args:
        names: names of shipped settings, or paths of YAML files.
        evals: the evals of the run; what a file says of others is left alone.
    Raises:
        UnknownNameError: neither a shipped name nor a file, or a file names an eval that does not exist.
        UsageError: a file is no mapping of evals to settings.
    """
    settings_of_eval: dict[str, dict[str, Any]] = {}
    for name in names:
        if not name.strip():
            raise UsageError("--settings: it is empty. Next: the name of shipped settings, or the path of a YAML file.")
        path = shipped().get(name)
        for eval_name, settings in _read(path or Path(name)).items():
            if path is None and eval_name not in eval_names():
                raise UnknownNameError(f"eval in '{name}'", eval_name, eval_names())
            if eval_name in evals:
                settings_of_eval.setdefault(eval_name, {}).update(settings)
    return settings_of_eval


def _read(path: Path) -> Mapping[str, Mapping[str, Any]]:
    if not path.is_file():
        raise UnknownNameError("settings", str(path), shipped(), "Give one of these, or the path of a YAML file.")
    content = read_yaml(path)
    if not isinstance(content, Mapping) or not all(isinstance(part, Mapping) for part in content.values()):
        raise UsageError(f"'{path}' has to map evals to settings, such as 'core: {{context_size: 256}}'.")
    return content
