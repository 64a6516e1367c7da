"""Models with a chat template read the texts as they are: no eval applies it unless its settings say so."""

from __future__ import annotations

from pathlib import Path

import pytest
from contract_worlds import WORLDS

import sae_bench
from sae_bench.datasets import registry
from sae_bench.testing import tiny_sae

OF_TEXTS = [name for name in WORLDS if name not in ("meta_structure", "ground_truth")]
"""Those that read texts; unlearning's world asks for completions, not for letters, which are asked for in a chat."""


@pytest.mark.parametrize("name", OF_TEXTS)
def test_no_eval_applies_the_template_by_itself(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    world = WORLDS[name](tmp_path)
    applied = "{{ raise_exception('the chat template is applied') }}"
    monkeypatch.setattr(world.lm.tokenizer, "chat_template", applied, raising=False)
    with pytest.raises(Exception, match="the chat template is applied"):
        world.lm.tokenizer.apply_chat_template([{"role": "user", "content": "the river"}], tokenize=False)
    try:
        summary = sae_bench.evaluate(
            world.lm, {"s": tiny_sae("topk")}, world.spec, settings={name: world.settings}, preset=None, seeds=1,
            controls=False, output_folder=tmp_path / "results",
        )  # fmt: skip
    finally:
        registry.forget_datasets()
    assert not summary.failures
    assert len(summary.written) == 1
