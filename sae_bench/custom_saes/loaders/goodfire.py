"""ReLU SAEs of one layer in a file `<model>-SAE-l<layer>.pt` or `.pth`: those of Goodfire, and of qresearch for R1."""

from __future__ import annotations

from pathlib import Path

from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.files import read_torch
from sae_bench.custom_saes.loaders import repository as of
from sae_bench.custom_saes.loaders.repository import Format, Repository
from sae_bench.custom_saes.loaders.tensor_layout import Entry, Layout, arrange, build, subtract_b_dec_no_more
from sae_bench.custom_saes.spec import SAEHandle

_OWNERS = {"Llama": "meta-llama", "DeepSeek": "deepseek-ai"}
"""First word of a model's name -> who publishes it."""


def layout(encoder: str, decoder: str) -> Layout:
    """The layout of two `nn.Linear`s with these names."""
    return {
        f"{encoder}.weight": Entry("W_enc", "FD"),
        f"{encoder}.bias": Entry("b_enc", "F"),
        f"{decoder}.weight": Entry("W_dec", "DF"),
        f"{decoder}.bias": Entry("b_dec", "D"),
    }


def handles(repository: Repository) -> list[SAEHandle]:
    """One handle per file of such a name."""

    def one(filename: str, model: str, layer: str) -> SAEHandle:
        hook_name = f"blocks.{layer}.hook_resid_post"
        owner = _OWNERS.get(model.split("-")[0])
        model_name = f"{owner}/{model}" if owner else model

        def load_file(paths: list[Path]) -> BaseSAE:
            return load(paths[0], hook_name=hook_name, model_name=model_name)

        sae_id = filename.rpartition(".")[0]
        return of.handle(repository, sae_id, [filename], load_file, hook_name=hook_name, model_name=model_name)

    pattern = r"(?:.+/)?(?P<model>[^/]+)-SAE-l(?P<layer>\d+)\.pth?"
    return [one(match[0], match["model"], match["layer"]) for match in repository.matching(pattern)]


def load(weights: Path, *, hook_name: str, model_name: str) -> BaseSAE:
    """The SAE of a file, in float32 on the CPU. Raises `SAELoadError` for broken or contradictory files."""
    raw = read_torch(weights)
    of_goodfire = any("_linear." in name for name in raw)
    names = ("encoder_linear", "decoder_linear") if of_goodfire else ("encoder", "decoder")
    arranged = arrange(raw, layout(*names), source=weights)
    subtract_b_dec_no_more(arranged.tensors)
    return build("relu", arranged, source=weights, hook_name=hook_name, model_name=model_name)


FORMAT = Format("goodfire", "Goodfire", "<model>-SAE-l<layer>.pt or .pth", handles)
resolve = FORMAT.resolve
