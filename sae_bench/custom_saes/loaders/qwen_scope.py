"""Qwen Scope: TopK SAEs of the residual stream, `layer<L>.sae.pt` each; the repository's name has k and the model."""

from __future__ import annotations

import re
from pathlib import Path

from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import read_torch
from sae_bench.custom_saes.loaders import repository as of
from sae_bench.custom_saes.loaders.repository import Format, Repository
from sae_bench.custom_saes.loaders.tensor_layout import Entry, arrange, build, subtract_b_dec_no_more
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.errors import SAELoadError

LAYOUT = {
    "W_enc": Entry("W_enc", "FD"),
    "b_enc": Entry("b_enc", "F"),
    "W_dec": Entry("W_dec", "DF"),
    "b_dec": Entry("b_dec", "D"),
}
_NAME = re.compile(r"SAE-Res-(?P<model>.+)-W(?P<width>\d+)K-L0_(?P<k>\d+)")
CONTEXT_SIZE = 1024


def handles(repository: Repository) -> list[SAEHandle]:
    """One handle per layer; one without a k in the repository's name fails when it is loaded."""

    def one(filename: str, layer: str) -> SAEHandle:
        hook_name = f"blocks.{layer}.hook_resid_post"
        name = _NAME.search(repository.full_name(filename))
        model_name = f"Qwen/{name['model']}" if name else None

        def load_file(paths: list[Path]) -> BaseSAE:
            if name is None:
                raise SAELoadError(
                    f"'{paths[0]}': k stands in the name of a Qwen Scope repository, as in "
                    f"SAE-Res-Qwen3-1.7B-Base-W32K-L0_50; this one is called '{repository.name}'. Next: rename "
                    "the folder."
                )
            return load(paths[0], hook_name=hook_name, model_name=model_name, k=int(name["k"]))

        sae_id = filename.removesuffix(".sae.pt")
        return of.handle(repository, sae_id, [filename], load_file, hook_name=hook_name, model_name=model_name)

    return [one(match[0], match["layer"]) for match in repository.matching(r"(?:.+/)?layer(?P<layer>\d+)\.sae\.pt")]


def load(weights: Path, *, hook_name: str, model_name: str | None, k: int) -> BaseSAE:
    """The SAE of one layer, in float32 on the CPU. Raises `SAELoadError` for broken or contradictory files."""
    arranged = arrange(read_torch(weights), LAYOUT, source=weights)
    subtract_b_dec_no_more(arranged.tensors)
    return build(
        "topk",
        arranged,
        source=weights,
        hook_name=hook_name,
        model_name=model_name,
        k=k,
        context_size=CONTEXT_SIZE,
    )


FORMAT = Format("qwen_scope", "Qwen Scope", "layer<L>.sae.pt in a folder called as the repository", handles)
resolve = FORMAT.resolve
