"""Result files: where they are, whether one is already there, and writing them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae_bench.errors import ResultError
from sae_bench.results.model import BaseEvalConfig, BaseEvalOutput, as_taken, batch_field, config_fields, config_values
from sae_bench.text_files import is_utf8, printable, read_json

LONGEST_NAME = 255
"""Bytes of a file name, on all common file systems."""

FAILED = "failed"
"""Folder of an eval for the tracebacks of what could not be done."""

CHANGES_NO_NUMBER = frozenset(
    {
        "verbose",
        "sae_batch_size",
        *(f"judge_{name}" for name in ("cache", "concurrency", "max_retries", "timeout")),
        *(f"judge_{name}_per_minute" for name in ("requests", "tokens")),
    }
)
"""Settings of how a result is computed and shown, beside the batch size that an eval declares."""


def changes_no_number(config: type[BaseEvalConfig]) -> frozenset[str]:
    """Settings of an eval in which results may differ and be the same result: all such but those that it counts."""
    batch = batch_field(config)
    return (CHANGES_NO_NUMBER | ({batch} if batch else set())) - config.counted


_IN_WORDS = {
    "sae_fingerprint": "weights or configuration of the SAE (sae_fingerprint)",
    "model_fingerprint": "model, its dtype, BOS or which tokens are read (model_fingerprint)",
}
"""What messages call an entry of the provenance whose name says too little."""


@dataclass(frozen=True)
class SAEIdentity:
    """Which SAE a result is of, and how it was read.

    Attributes:
        fingerprint: of its files, or of its weights and configuration.
        hook: where it sits; None where its files say it.
        dtype: of its weights in the run.
    """

    fingerprint: str
    hook: str | None
    dtype: str


@dataclass(frozen=True)
class Made:
    """What a result is made of, as far as it is known before any SAE is loaded."""

    eval_name: str
    protocol: str
    config: BaseEvalConfig
    seeds: tuple[int, ...]
    model_fingerprint: str
    resample_data: bool = False
    sae: SAEIdentity | None = None

    def provenance(self) -> dict[str, Any]:
        """The part that a result file keeps under `provenance`."""
        sae = {} if self.sae is None else _provenance_of(self.sae)
        return {
            **sae,
            "protocol": self.protocol,
            "seeds": list(self.seeds),
            "model_fingerprint": self.model_fingerprint,
            "resample_data": self.resample_data,
        }


def _provenance_of(sae: SAEIdentity) -> dict[str, str]:
    hook = {} if sae.hook is None else {"sae_hook": sae.hook}
    return {"sae_fingerprint": sae.fingerprint, **hook, "sae_dtype": sae.dtype}


def result_path(eval_folder: str | Path, release: str, sae_id: str) -> Path:
    """`<folder of the eval>/<release>_<id>_eval_results.json`, with '/' written as '_'."""
    return Path(eval_folder) / _file_name(release, sae_id, "_eval_results.json")


def failure_path(eval_folder: str | Path, eval_name: str, release: str, sae_id: str) -> Path:
    """Where the traceback of a failed (SAE, eval) goes."""
    return Path(eval_folder) / FAILED / _shortened(_file_name(release, sae_id, f"_{eval_name}.txt"))


def check_name(release: str, sae_id: str) -> None:
    """Find out before the work starts whether the results of an SAE can have its name.

    Raises:
        ResultError: the name holds a NUL character, or is longer than file systems allow.
    """
    longest = max((_file_name(release, sae_id, ending) for ending in ("_eval_results.json", ".safetensors")), key=len)
    n_bytes = len(longest.encode("utf-8", "surrogatepass"))
    problem = ""
    if not is_utf8(longest):
        problem = "is no UTF-8 text"
    elif "\0" in longest:
        problem = "holds a NUL character"
    elif n_bytes > LONGEST_NAME:
        problem = f"would have {n_bytes} bytes of {LONGEST_NAME}"
    if problem:
        raise ResultError(
            f"the file name of the results of '{printable(_shortened(longest))}' {problem}. Next: give the SAE another "
            "name (rename its folder or file, or what the function calls it)."
        )


def check_writable(folder: Path) -> None:
    """Find out before the work starts whether `folder` can be written to; creates nothing.

    Raises:
        ResultError: it, or the existing folder above it, is a file or is read-only.
    """
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise ResultError(f"results cannot go to '{folder}': '{existing}' is a file. Next: another --output-folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ResultError(
            f"results cannot go to '{folder}': '{existing}' is not writable. Next: another --output-folder, or "
            "change its permissions."
        )


def is_done(path: Path, made: Made, *, unidentified: list[Path] | None = None) -> bool:
    """Whether `path` holds a result of this eval, made with these very settings, seeds, definition, model and SAE.

    Args:
        unidentified: takes the path if the result, from an older version, does not record which SAE it is of.
    Raises:
        ResultError: the file holds another result, or is no result: overwriting it would lose something.
    """
    if not path.exists():
        return False
    recorded = _without_details(path) or read_result(path)
    if recorded.get("eval_type_id", made.eval_name) != made.eval_name:
        raise ResultError(
            f"'{path}' is a result of {recorded['eval_type_id']}, not of {made.eval_name}. Next: another folder."
        )
    differing = differing_settings(recorded.get("eval_config") or {}, made.config)
    provenance = {"resample_data": False, **(recorded.get("provenance") or {})}  # files from before it existed
    provenance.setdefault("sae_hook", (recorded.get("sae_cfg_dict") or {}).get("hook_name"))
    if unidentified is not None and provenance.get("sae_fingerprint") is None:
        unidentified.append(path)
    for key, wanted in made.provenance().items():
        if provenance.get(key) not in (None, wanted):
            differing.append(f"{_IN_WORDS.get(key, key)}: {provenance[key]!r} there, {wanted!r} asked for")
    if differing:
        raise ResultError(
            f"'{path}' was made with other settings or another SAE ({'; '.join(differing[:4])}). "
            "Next: --force-rerun to replace it, or another --output-folder to keep both."
        )
    return True


def read_result(path: Path) -> dict[str, Any]:
    """The JSON of a result file.

    Raises:
        ResultError: the file is cut off, not JSON, or no result.
    """
    try:
        content = read_json(path)
    except ValueError as error:
        raise ResultError(
            f"'{path}' is not a readable result ({error}). Next: move it away, or --force-rerun to replace it."
        ) from error
    if not isinstance(content, dict) or "eval_result_metrics" not in content:
        raise ResultError(f"'{path}' is no result file: it has no 'eval_result_metrics'. Next: move it away.")
    return content


_LARGE = 1 << 18
_HEAD, _TAIL = b'\n  "eval_result_details":', b'\n  "provenance":'
"""Lines of a result file, which no value of it can hold: what is between them is most of a large one."""


def _without_details(path: Path) -> dict[str, Any] | None:
    """What a large result file says besides its details, read off its two ends; None if that cannot be told from them.

    Thousands of results are looked at before a run starts, and those of wide SAEs have megabytes of details.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < _LARGE:
                return None
            file.seek(0)
            head, line, _ = file.read(_LARGE // 4).partition(_HEAD)
            file.seek(size - _LARGE // 4)
            _, other_line, tail = file.read().rpartition(_TAIL)
    except OSError:
        return None
    if not line or not other_line:
        return None
    try:
        content = json.loads(head + other_line + tail)
    except ValueError:
        return None
    provenance = content.get("provenance") or {}  # older ones lack what stands between the ends then
    return content if provenance.get("sae_hook") is not None else None


def write_result(path: Path, output: BaseEvalOutput, *, published_nulls: bool = False) -> None:
    """Write one result whole or not at all; `published_nulls` as of `BaseEvalOutput.to_json`."""
    output.to_json_file(path, published_nulls=published_nulls)


def _file_name(release: str, sae_id: str, ending: str) -> str:
    return f"{release}_{sae_id}{ending}".replace("/", "_")


def _shortened(name: str) -> str:
    """A name that every file system takes: as it is, or its beginning, a hash of the whole and its ending."""
    plain = printable(name.replace("\0", ""))
    encoded = name.encode("utf-8", "surrogatepass")
    if plain == name and len(encoded) <= LONGEST_NAME:
        return name
    beginning = plain.encode("utf-8", "ignore")[:100].decode("utf-8", "ignore")
    ending = plain.encode("utf-8", "ignore")[-40:].decode("utf-8", "ignore")
    return f"{beginning}-{hashlib.sha256(encoded).hexdigest()[:12]}-{ending}"


def differing_settings(recorded: dict[str, Any], config: BaseEvalConfig) -> list[str]:
    """Settings whose values differ; one that the file lacks (it is older) had its default."""
    wanted = config_values(as_taken(config, 1))  # the pass's own batch size changes no number
    there = {**_defaults(config), **recorded}
    keys = sorted(key for key in wanted.keys() - changes_no_number(type(config)) if there.get(key) != wanted[key])
    return [f"{key}: {there.get(key)!r} there, {wanted[key]!r} asked for" for key in keys]


def _defaults(config: BaseEvalConfig) -> dict[str, Any]:
    fields = config_fields(type(config))
    needed = {name: getattr(config, name) for name, field in fields.items() if field.is_required()}
    return config_values(type(config)(**needed))
