"""The SAEs that come with the package: `embedded:<name regex>`."""

from __future__ import annotations

from pathlib import Path

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import read_json
from sae_bench.custom_saes.listing import SUITE
from sae_bench.custom_saes.loaders.native import config_of, is_native, load_native
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, compile_pattern, nothing_matches, unusable
from sae_bench.errors import SAELoadError


def resolve(rest: str, *, data_dir: Path | None = None, suite: Path = SUITE) -> list[SAEHandle]:  # noqa: ARG001
    """Every SAE of the suite whose whole name matches the regular expression."""
    return of_suite(rest, suite, release="embedded")


def of_suite(rest: str, suite: Path, *, release: str) -> list[SAEHandle]:
    """Every SAE of a folder of the package whose whole name matches the regular expression `rest`.

    Raises:
        SAELoadError: the folder is empty.
        UsageError: `rest` is no regular expression, or matches nothing.
    """
    pattern = compile_pattern(rest)
    handles = pair_handles(suite, release=release)
    if not handles:
        raise SAELoadError(
            f"this installation has no {release} SAEs ('{suite}' is empty). Install the released package, or train the "
            "suite with the script that is in the source repository."
        )
    chosen = [handle for handle in handles if pattern.fullmatch(handle.sae_id)]
    if not chosen:
        raise nothing_matches(rest, [handle.sae_id for handle in handles], f"the {release} suite")
    return chosen


def pair_handles(folder: Path, *, release: str) -> list[SAEHandle]:
    """One handle per `<name>.safetensors` + `<name>.json` of a folder and its subfolders; their ids are paths in it."""
    handles = []
    for weights in sorted(folder.rglob("*.safetensors")):
        config_path = weights.with_suffix(".json")
        sae_id = weights.relative_to(folder).with_suffix("").as_posix()
        if config_path.is_file():
            try:
                config = read_json(config_path)
                if is_native(config):
                    handles.append(native_handle(weights, config_path, config, release=release, sae_id=sae_id))
            except SAELoadError as error:
                handles.append(unusable(release, sae_id, error))
    return handles


def native_handle(
    weights: Path, config_path: Path, config: dict[str, object], *, release: str, sae_id: str
) -> SAEHandle:
    """The handle of one SAE in the package's own format; `config` is what `config_path` holds."""
    cfg = config_of(config, source=weights)

    def load(context: LoadContext) -> BaseSAE:
        return load_native(weights, config, device=context.device, dtype=context.dtype)

    def identify(_context: LoadContext) -> str:
        return fingerprint.of_files(weights, config_path)

    return SAEHandle(release, sae_id, cfg.hook_name, cfg.model_name or None, load, identify)
