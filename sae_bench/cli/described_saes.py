"""What the SAEs that a spec names are, read from their files, and which evals refuse them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rich.markup import escape
from rich.table import Table

from sae_bench.cli.console import table_console
from sae_bench.custom_saes.listing import SPEC_FORMS
from sae_bench.plugins import SAES, plugins

if TYPE_CHECKING:
    from sae_bench.custom_saes.spec import SAEHandle


class DescribedSAE(NamedTuple):
    """One SAE as its files say; what cannot be known is empty.

    Attributes:
        width: `d_in -> d_sae`, and `-> d_out` of a transcoder.
        hooks: what it reads, and what it predicts where that is another hook.
        refused: why it cannot be read, or what evals refuse it for.
    """

    name: str
    format: str
    architecture: str
    width: str
    hooks: str
    model: str
    refused: str


def is_spec(text: str) -> bool:
    """Whether a text begins like a spec that names files; baselines have none."""
    scheme, colon, rest = text.partition(":")
    return bool(colon and rest) and scheme != "baseline" and (scheme in SPEC_FORMS or scheme in plugins(SAES))


def show_saes(spec: str, *, data_dir: str | None = None) -> None:
    """Print a table of the SAEs of a spec."""
    from sae_bench.custom_saes.spec import resolve_spec

    table = Table("SAE", "format", "architecture", "width", "hooks", "model", "refused", header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    for handle in resolve_spec(spec, data_dir=data_dir):
        table.add_row(*map(escape, described(handle)))
    table_console().print(table)


def described(handle: SAEHandle) -> DescribedSAE:
    """What one SAE is: its files are read, on the CPU, one SAE at a time."""
    import torch

    from sae_bench.custom_saes.interface import check_finite, output_hook, writes_elsewhere
    from sae_bench.custom_saes.spec import LoadContext

    name = handle.sae_id
    try:
        sae: Any = handle.load(LoadContext(torch.device("cpu"), torch.float32))
        check_finite(sae)
    except Exception as error:  # whatever stops it in a run is what is to be told
        return DescribedSAE(name, handle.format, "", "", handle.hook_name or "", handle.model_name or "", str(error))
    cfg = sae.cfg
    width, hooks = f"{cfg.d_in:,} -> {cfg.d_sae:,}", str(cfg.hook_name)
    if writes_elsewhere(sae):
        width, hooks = f"{width} -> {sae.W_dec.shape[-1]:,}", f"{hooks} -> {output_hook(sae)}"
    architecture = str(getattr(cfg, "architecture", "") or type(sae).__name__)
    model = str(getattr(cfg, "model_name", "") or handle.model_name or "")
    return DescribedSAE(name, handle.format, architecture, width, hooks, model, _refusals(handle, sae))


def _refusals(handle: SAEHandle, sae: Any) -> str:
    """What the evals say that cannot take an SAE, those with the same reason together; empty if all can."""
    from sae_bench.custom_saes.loading import Member
    from sae_bench.evals.registry import eval_names, get_eval

    member = Member(handle.release, handle.sae_id, sae, sae.cfg.hook_name)
    refused = {name: reason for name in eval_names() if (reason := get_eval(name).refusal(member))}
    if not refused:
        return ""
    first, reason = next(iter(refused.items()))
    return f"{', '.join(refused)}: {reason.removeprefix(first).strip()}"
