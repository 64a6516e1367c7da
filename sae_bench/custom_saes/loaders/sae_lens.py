"""SAELens' pretrained SAEs, through SAELens (an optional extra)."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from packaging.requirements import Requirement

from sae_bench.custom_saes.architectures import SAE_LENS
from sae_bench.custom_saes.files import hub_failed
from sae_bench.custom_saes.folding import fold_decoder_norm
from sae_bench.custom_saes.interface import writes_elsewhere
from sae_bench.custom_saes.loaders import temporal
from sae_bench.custom_saes.sae_lens_adapter import SAELensAdapter
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, compile_pattern, malformed, nothing_matches
from sae_bench.custom_saes.transcoder import CROSS_LAYER
from sae_bench.errors import PrerequisiteError, SAELoadError

UNKNOWN_SCALE = (
    "the SAE was trained on rescaled activations and the factor is not known: its codes are computed without it and "
    "may be far from those in training"
)
_ACTIVATIONS = ("", "relu", "topk", "batchtopk", "jumprelu", "identity")
"""Activation functions that SAELens' architectures have in themselves."""
REQUIREMENT = "sae-lens>=6.0"
_FORMATS = (
    "sae_lens", "connor_rob_hook_z", "gemma_2", "gemma_3", "llama_scope", "llama_scope_r1_distill",
    "dictionary_learning_1", "deepseek_r1", "qwen_scope", "sparsify", "gemma_2_transcoder", "mwhanna_transcoder",
    "mntss_clt_layer_transcoder", "temporal", "goodfire",
)  # fmt: skip
"""SAELens' formats of pretrained SAEs, all of whose kinds are read."""
CODES_ONLY = "a layer of a cross-layer transcoder: for its codes"
_HOOK_IN_ID = re.compile(
    r"blocks\.\d+\.(?:attn\.hook_z|mlp\.hook_post|hook_(?:resid_(?:pre|mid|post)|attn_out|mlp_out))"
)
_TRANSCODERS = "transcoder"
_RELEASE_HOOKS = tuple(
    (re.compile(pattern), hook)
    for pattern, hook in (
        (r"^gemma-scope-.*-res(-|$)|^llama_scope_(lxr|r1)|-andyrdt$|^qwen-scope-|^goodfire-", "hook_resid_post"),
        (r"^gemma-scope-.*-att(-|$)|-hook-z-", "attn.hook_z"),
        (r"^gemma-scope-.*-mlp(-|$)|^llama_scope_lxm", "hook_mlp_out"),
        (r"^llama_scope_lxa", "hook_attn_out"),
    )
)
"""Releases whose ids name a layer only, and the hook that all their SAEs have."""


def resolve(rest: str, *, data_dir: Path | None = None) -> list[SAEHandle]:  # noqa: ARG001 (one signature for all)
    """Every SAE of SAELens' directory whose release and id match `<release regex>:<id regex>` as a whole."""
    parts = re.split(r"(?<!\?):", rest, maxsplit=1)  # not the colon of a group (?:...)
    if len(parts) != 2 or not all(parts):
        raise malformed(f"sae_lens:{rest}", "sae_lens")
    release_pattern, id_pattern = map(compile_pattern, parts)
    directory = pretrained_directory()
    releases = [name for name in directory if release_pattern.fullmatch(name)]
    if not releases:
        raise nothing_matches(parts[0], directory, "SAELens' list of releases")
    ids = [(release, sae_id) for release in releases for sae_id in directory[release].saes_map]
    chosen = [(release, sae_id) for release, sae_id in ids if id_pattern.fullmatch(sae_id)]
    if not chosen:
        where = releases[0] if len(releases) == 1 else f"{len(releases)} releases"
        raise nothing_matches(parts[1], [sae_id for _, sae_id in ids], where)
    return [_handle(release, sae_id, directory[release]) for release, sae_id in chosen]


def pretrained_directory() -> dict[str, Any]:
    """SAELens' list: release -> record with `saes_map`, `model`, `repo_id`."""
    _sae_lens()
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    return get_pretrained_saes_directory()


def load_release(release: str, sae_id: str, *, device: torch.device | str, dtype: torch.dtype) -> Any:
    """One pretrained SAE; SAELens folds its activation scaling, the decoder norms are folded where that is exact.

    It is SAELens' object behind a `SAELensAdapter`, or this package's own `TemporalSAE`.

    Raises:
        PrerequisiteError: SAELens is missing, or the download failed.
        SAELoadError: NaN or infinite weights, or a kind that cannot be evaluated.
    """
    lens = _sae_lens()
    try:
        loaded = lens.SAE.from_pretrained(release=release, sae_id=sae_id, device="cpu", dtype="float32")
    except Exception as error:  # the loaders of two dozen formats, and the hub client
        raise hub_failed(f"'{sae_id}' of '{release}'", error) from error
    return _ready(loaded, device=device, dtype=dtype)


def is_cross_layer(release: Any, sae_id: str) -> bool:
    """Whether an entry of SAELens' list is one layer of a cross-layer transcoder, read for its codes."""
    path = str(release.saes_map[sae_id])
    return getattr(release, "conversion_func", None) == "mntss_clt_layer_transcoder" or "clt" in path.split("/")


def load_from_disk(folder: Path, *, device: torch.device | str, dtype: torch.dtype) -> Any:
    """An SAE that SAELens saved, whatever its architecture. Errors as `load_release`."""
    lens = _sae_lens()
    try:
        loaded = lens.SAE.load_from_disk(str(folder), device="cpu", dtype="float32")
    except Exception as error:  # as above
        raise SAELoadError(f"SAELens cannot read '{folder}': {error}") from error
    return _ready(loaded, device=device, dtype=dtype)


def _handle(release: str, sae_id: str, record: Any) -> SAEHandle:
    def load(context: LoadContext) -> Any:
        sae = load_release(release, sae_id, device=context.device, dtype=context.dtype)
        if is_cross_layer(record, sae_id):
            sae.codes_only = CROSS_LAYER
        return sae

    return SAEHandle(
        release, sae_id, _hook(release, sae_id), record.model or None, load, limits=_limits(record, sae_id)
    )


def _limits(record: Any, sae_id: str) -> str:
    """What an entry of the list cannot be evaluated for, as far as its format says."""
    name = getattr(record, "conversion_func", None) or "sae_lens"
    if name not in _FORMATS:
        return f"not known: the format {name}"
    return CODES_ONLY if is_cross_layer(record, sae_id) else ""


def _hook(release: str, sae_id: str) -> str | None:
    """The hook as far as release and id tell it; None where only the SAE's configuration does."""
    if _TRANSCODERS in release:
        return None
    match = _HOOK_IN_ID.search(sae_id)
    if match is not None:
        return match[0]
    if sae_id.startswith("embedding/"):
        return "hook_embed"
    layer = re.search(r"layer_?(\d+)|^l(\d+)[rma]|^blocks\.(\d+)\.hook_z", sae_id)
    kind = next((hook for pattern, hook in _RELEASE_HOOKS if pattern.search(release)), None)
    if layer is None or kind is None:
        return None
    return f"blocks.{next(number for number in layer.groups() if number)}.{kind}"


def _ready(loaded: Any, *, device: torch.device | str, dtype: torch.dtype) -> Any:
    sae = loaded[0] if isinstance(loaded, tuple) else loaded  # (SAE, config, sparsity) before version 6
    adapter = SAELensAdapter(sae)
    if adapter.cfg.architecture == "temporal":
        stated = {**vars(sae.cfg), "hook_name": adapter.cfg.hook_name, "model_name": adapter.cfg.model_name}
        own = temporal.of_sae_lens(sae.state_dict(), stated, source=adapter.cfg.hook_name)
        return own.to(device=device, dtype=dtype)
    if "transcoder" in adapter.cfg.architecture and not writes_elsewhere(adapter):
        raise SAELoadError(f"this transcoder of '{adapter.cfg.hook_name}' names no hook that it predicts.")
    if adapter.cfg.architecture not in SAE_LENS:
        known = ", ".join(sorted(SAE_LENS))
        raise SAELoadError(f"SAELens' architecture '{adapter.cfg.architecture}' is not read: known are {known}.")
    check_activation(adapter.cfg.activation_fn_str, source=adapter.cfg.hook_name)
    fold_decoder_norm(adapter)
    if adapter.cfg.normalize_activations == "expected_average_only_in":
        adapter.caveats = (UNKNOWN_SCALE,)
    return adapter.to(device=device, dtype=dtype)


def check_activation(name: str, *, source: object) -> None:
    """Raise `SAELoadError` if a configuration asks for an activation function that would not be the one computed."""
    if name not in _ACTIVATIONS:
        raise SAELoadError(
            f"'{source}' has the activation function '{name}', which no SAE here computes (it would run as a ReLU)."
        )


def _sae_lens() -> ModuleType:
    try:
        import sae_lens
    except ImportError as error:
        raise PrerequisiteError(
            f"SAELens is needed for this SAE and cannot be imported ({error}): pip install {_to_install()}"
        ) from error
    return sae_lens


def _to_install() -> str:
    """What pip has to be given: SAELens, or what an installed one wants and lacks in a version that it takes."""
    try:
        wanted = [Requirement(line) for line in metadata.requires("sae-lens") or ()]
    except metadata.PackageNotFoundError:
        return f"'{REQUIREMENT}'"
    lacking = [f"'{one.name}{one.specifier}'" for one in wanted if one.marker is None and not _is_installed(one)]
    return " ".join(lacking) or f"'{REQUIREMENT}'"


def _is_installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False
