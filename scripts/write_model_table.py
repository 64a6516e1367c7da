"""Write docs/models.md: what each kind of causal language model can do here, tried on a tiny one of each.

python scripts/write_model_table.py
"""

from __future__ import annotations

from pathlib import Path

from transformers.utils import logging

from sae_bench.errors import ModelError
from sae_bench.testing.causal_lms import KINDS_OF_MODELS, KindOfModel, tiny_causal_lm
from sae_bench.testing.model_abilities import HOOKS, ModelAbilities, model_abilities

PAGE = Path(__file__).resolve().parent.parent / "docs" / "models.md"
MARKS = ("<!-- models -->\n", "<!-- /models -->")
REFUSED = "refused when it is loaded"


def row_of(kind: KindOfModel) -> str:
    """One row of the table."""
    try:
        cells = _cells(model_abilities(tiny_causal_lm(kind.config)))
    except ModelError:
        cells = [REFUSED, *[""] * (len(HOOKS) + 1)]
    return f"| {kind.title} | {kind.group} | " + " | ".join(cells) + " |"


def table() -> str:
    """The whole table."""
    titles = [
        *(f"`{hook}`" for hook in HOOKS if hook not in ("hook_resid_pre", "hook_resid_post")),
        "goes on from a layer", "shared beginnings", "reads on", "generates",
    ]  # fmt: skip
    head = ["model", "kind", "`hook_resid_pre`, `hook_resid_post`", *titles]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    return "\n".join([*(f"| {line} |" for line in lines), *(row_of(kind) for kind in KINDS_OF_MODELS.values())]) + "\n"


def _cells(can: ModelAbilities) -> list[str]:
    def layers(hook: str) -> str:
        n = len(can.layers_with[hook])
        return "no" if n == 0 else "yes" if n == can.n_layers else "some layers"

    streams = {layers("hook_resid_pre"), layers("hook_resid_post")}
    others = [layers(hook) for hook in HOOKS if hook not in ("hook_resid_pre", "hook_resid_post")]
    able = (can.goes_on and can.replaces, can.shares_beginnings, can.reads_on, can.generates)
    return [streams.pop() if len(streams) == 1 else "differ", *others, *("yes" if one else "no" for one in able)]


def main() -> None:
    logging.set_verbosity_error()
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    PAGE.write_text(before + MARKS[0] + table() + MARKS[1] + rest.partition(MARKS[1])[2], encoding="utf-8")


if __name__ == "__main__":
    main()
