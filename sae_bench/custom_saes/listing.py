"""What can be said of SAEs without loading torch: the forms of a spec, and the SAEs that come with the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

SUITE = Path(__file__).resolve().parent / "embedded_suite"
"""Folder of the SAEs that come with the package, `<name>.safetensors` and `<name>.json` each."""

SYNTHETIC_SUITE = SUITE.with_name("synthetic_suite")
"""Folder of those for the synthetic model `synthetic:small`."""

BASELINES = ("identity", "oracle", "pca", "random", "zero")
"""Names of the baselines: `baseline:<name>`."""

DERIVED_BASELINES: dict[str, str] = {
    "random_l0_matched": "random_l0_matched(<SAE spec>)",
    "permuted_decoder": "permuted_decoder(<SAE spec>)",
    "frozen_encoder": "frozen_encoder(<SAE spec or L0>)",
    "best_k": "best_k(<SAE spec>,<k>)",
    "degraded": "degraded(<SAE spec>,<kind>[,<level>])",
}
"""Name of a baseline that is made from an SAE -> its form after `baseline:`."""

NULLS = ("random_l0_matched", "permuted_decoder", "frozen_encoder")
"""The baselines that `--nulls` adds for every SAE of a run."""

DEGRADING: dict[str, str] = {
    "decoder_noise": "decoder rows turned towards random directions",
    "encoder_noise": "encoder columns turned towards random directions",
    "dead": "a share of the latents never fires",
    "merged": "a share of the latents is merged in pairs",
    "permuted": "a share of the decoder rows changes places",
}
"""Ways to make an SAE worse, of which `degraded` takes one."""

LEVELS = (0.0, 0.1, 0.25, 0.5, 1.0)
"""The levels of a ladder, from the SAE itself on."""

SPEC_FORMS: dict[str, str] = {
    "sae_lens": "sae_lens:<release regex>:<id regex>",
    "dictionary_learning": "dictionary_learning:<hub repository or directory>",
    "gemma_scope": "gemma_scope:<hub repository or directory>[:<path>]",
    "sparsify": "sparsify:<hub repository or directory>[:<id>]",
    "circuit_tracer": "circuit_tracer:<hub repository or directory>[:<id>]",
    "llama_scope": "llama_scope:<hub repository or directory>[:<id>]",
    "qwen_scope": "qwen_scope:<hub repository or directory>[:<id>]",
    "goodfire": "goodfire:<hub repository or directory>[:<id>]",
    "temporal": "temporal:<hub repository or directory>[:<id>]",
    "path": "path:<directory or file of weights>",
    "decoder": "decoder:<file with W_dec>[@<hook name>][:least_squares|:matching_pursuit(<k>)]",
    "baseline": "baseline:identity|oracle|pca|random|zero[@<hook name>] or baseline:"
    + "|".join(DERIVED_BASELINES.values()),
    "embedded": "embedded:<name regex>",
    "synthetic": "synthetic:<name regex>",
    "python": "python:<module>:<callable>",
}
"""Scheme -> its form, as the error messages and `--help` show it."""


class ListedSAE(NamedTuple):
    """One SAE as a list shows it."""

    spec: str
    hook: str
    model: str


def packaged_saes() -> list[ListedSAE]:
    """The SAEs that come with the package, by spec; none where they are not installed."""
    listed = []
    for scheme, folder in (("embedded", SUITE), ("synthetic", SYNTHETIC_SUITE)):
        for path in sorted(folder.glob("*.json")):
            cfg = json.loads(path.read_text(encoding="utf-8"))["cfg"]
            listed.append(ListedSAE(f"{scheme}:{path.stem}", cfg["hook_name"], cfg["model_name"]))
    return listed
