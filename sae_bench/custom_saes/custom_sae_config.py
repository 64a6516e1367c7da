"""What the evals may ask about an SAE beside its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class CustomSAEConfig:
    """Facts about one SAE, under the names that SAE tools share.

    Set when the SAE is built; to change one, build a new object with `dataclasses.replace`.
    """

    model_name: str
    d_in: int
    d_sae: int
    hook_layer: int
    hook_name: str

    context_size: int | None = None
    """Length of the training context in tokens, where it is known."""
    hook_head_index: int | None = None

    architecture: str = ""
    apply_b_dec_to_input: bool | None = None
    finetuning_scaling_factor: bool | None = None
    activation_fn_str: str = ""
    activation_fn_kwargs: dict[str, Any] = field(default_factory=dict)
    prepend_bos: bool = True
    normalize_activations: str = "none"

    dtype: str = ""
    """Of the weights, as in `float32`."""
    device: str = ""
    model_from_pretrained_kwargs: dict[str, Any] = field(default_factory=dict)

    dataset_path: str = ""
    dataset_trust_remote_code: bool = True
    seqpos_slice: tuple[int | None, ...] = (None,)
    training_tokens: int = -100_000
    """Number of training tokens; -100000 stands for unknown."""

    sae_lens_training_version: str | None = None
    neuronpedia_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """All values by name, those that were added too."""
        return dict(vars(self))


@dataclass
class TranscoderConfig(CustomSAEConfig):
    """Facts about a transcoder: `hook_name` and `d_in` are of what it reads, the fields here of what it predicts."""

    hook_name_out: str = ""
    d_out: int = 0
