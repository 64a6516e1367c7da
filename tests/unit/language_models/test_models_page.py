"""docs/models.md says what tiny models of each kind can do; wrappers of images load as the text part they have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sae_bench.language_models import load_language_model
from sae_bench.language_models.interventions import intervene
from sae_bench.testing.causal_lms import KINDS_OF_MODELS, tiny_causal_lm
from sae_bench.testing.model_abilities import HOOKS, ModelAbilities, model_abilities

PAGE = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
ALWAYS_TRIED = ("gemma2", "gpt_oss", "jamba", "qwen2_5_vl")
WORDS = {0: "no", 1: "some layers", 2: "yes"}


def row_on_the_page(title: str) -> list[str]:
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {title} | ")]
    return [cell.strip() for cell in line.strip("|").split(" | ")][2:]


def said_of(can: ModelAbilities) -> list[str]:
    assert can.n_layers == 2
    of_hook = {hook: WORDS[len(layers)] for hook, layers in can.layers_with.items()}
    assert of_hook.pop("hook_resid_pre") == of_hook["hook_resid_post"] == "yes"
    both = [of_hook.pop("hook_resid_post"), *of_hook.values()]
    able = (can.goes_on and can.replaces, can.shares_beginnings, can.reads_on, can.generates)
    return [*both, *("yes" if one else "no" for one in able)]


@pytest.mark.parametrize(
    "kind",
    [kind if kind in ALWAYS_TRIED else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS_OF_MODELS if
     KINDS_OF_MODELS[kind].group != "several streams per token"],
)  # fmt: skip
def test_the_page_says_what_the_models_do(kind: str):
    assert row_on_the_page(KINDS_OF_MODELS[kind].title) == said_of(model_abilities(tiny_causal_lm(kind)))


def test_the_page_has_every_kind_and_says_what_is_refused():
    rows = {kind.title: row_on_the_page(kind.title) for kind in KINDS_OF_MODELS.values()}
    assert {title for title, cells in rows.items() if "refused" in cells[0]} == {"Gemma 3n"}
    assert all(len(cells) == len(HOOKS) + 3 for title, cells in rows.items() if title != "Gemma 3n")


def test_a_wrapper_of_images_loads_as_its_text_part(tmp_path: Path):
    lm = tiny_causal_lm("llava")
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    loaded = load_language_model(str(tmp_path), device="cpu", dtype="float32")
    ids = torch.tensor([[5, 9, 33, 17]])
    assert torch.equal(loaded.final_hidden(ids), lm.final_hidden(ids))
    assert loaded.capture(ids, ["blocks.1.hook_mlp_in"])["blocks.1.hook_mlp_in"].shape == (1, 4, 32)


@pytest.mark.parametrize("kind", ["mixtral", "gpt_oss"])
@torch.no_grad()
def test_a_replaced_output_leaves_the_routing_of_its_layer_as_it_is(kind: str):
    lm = tiny_causal_lm(kind)
    ids = torch.tensor([[5, 9, 33, 17]])

    def routing() -> tuple[torch.Tensor, ...]:
        return lm.model(input_ids=ids, use_cache=False, output_router_logits=True).router_logits

    plain = routing()
    with intervene(lm.hook_site("blocks.0.hook_mlp_out"), lambda value: value * 100, batch_shape=ids.shape):
        first, second = routing()
    assert torch.equal(first, plain[0])
    assert not torch.equal(second, plain[1])
    with intervene(lm.hook_site("blocks.0.hook_mlp_in"), lambda value: -value, batch_shape=ids.shape):
        assert not torch.equal(routing()[0], plain[0])
