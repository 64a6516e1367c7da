"""Hook values against TransformerLens for a Llama and a GPT-NeoX model, and the embedded model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reference import run_ours, run_reference
from rows import Row

TITLE = "Hook values"
HOOKS = (
    "hook_embed", "blocks.1.hook_resid_pre", "blocks.1.hook_resid_mid", "blocks.1.hook_resid_post",
    "blocks.1.hook_attn_out", "blocks.1.hook_mlp_out", "blocks.1.attn.hook_z", "blocks.1.mlp.hook_post",
)  # fmt: skip
INTRODUCTION = """\
Values at every kind of hook against TransformerLens 3.9, float32: the largest difference as a share of the largest
value.
"""


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Hook values against TransformerLens for a Llama and a GPT-NeoX model, and the embedded model."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    size = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
            "num_attention_heads": 4, "max_position_embeddings": 64}  # fmt: skip
    tiny = {
        "tiny Llama": LlamaForCausalLM(LlamaConfig(**size, num_key_value_heads=2)),
        "tiny GPT-NeoX": GPTNeoXForCausalLM(GPTNeoXConfig(**size, use_parallel_residual=False)),
    }
    cases: list[tuple[str, Path, Path, Sequence[str]]] = []
    for name, model in tiny.items():
        folder = work / name.replace(" ", "_")
        model.save_pretrained(folder)
        save_file({"tokens": torch.randint(3, 97, (4, 20))}, folder / "tokens.safetensors")
        cases.append((name, folder, folder / "tokens.safetensors", HOOKS))
    embedded = tuple(f"blocks.10.{kind}" for kind in ("hook_resid_post", "attn.hook_z", "mlp.hook_post"))
    cases.append(("SmolLM2-135M", work / "in" / "model", work / "in" / "tokens.safetensors", embedded))
    rows: list[Row] = []
    for name, folder, tokens, names in cases:
        common = ("--model", folder, "--tokens", tokens, "--rows", 4, "--hooks", ",".join(names))
        a, b = work / "hooks_reference.safetensors", work / "hooks_ours.safetensors"
        run_reference("run_hooks.py", *common, "--out", work / "hooks.json", "--values", a)
        run_ours("hooks", *common, "--values", b)
        theirs, ours = load_file(a), load_file(b)
        for hook in names:
            scale = float(theirs[hook].abs().max())
            difference = float((theirs[hook] - ours[hook]).abs().max()) / scale
            rows.append(Row(f"hook {name} {hook}, largest difference / largest value", 0.0, difference, "1e-5",
                            difference <= 1e-5))  # fmt: skip
    return rows
