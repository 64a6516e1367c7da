"""The entries of SAELens' list of pretrained SAEs, with what their configurations say as far as that needs no files."""

from __future__ import annotations

from typing import Any


def entries() -> list[dict[str, Any]]:
    """Release, id, format and, where SAELens derives them from names alone, architecture and hooks."""
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    def no_file(*_: object, **__: object) -> str:
        raise FileNotFoundError

    def no_config(repo_id: str, filename: str, **_: object) -> str:
        raise _NotThere(f"{repo_id}/{filename}")

    class _NotThere(loaders.EntryNotFoundError):
        def __init__(self, message: str) -> None:
            Exception.__init__(self, message)

    loaders.get_safetensors_tensor_shapes = lambda *_: {"w_enc": [1, 1], "w_dec": [1, 1]}
    listed = []
    for release, record in get_pretrained_saes_directory().items():
        function = record.conversion_func or "sae_lens"
        # Gemma Scope 2 has a file beside every SAE; without it SAELens goes by the names
        loaders.hf_hub_download = no_config if function == "gemma_3" else no_file
        for sae_id, path in record.saes_map.items():
            entry: dict[str, Any] = {"release": release, "id": sae_id, "function": function}
            try:
                cfg = loaders.NAMED_PRETRAINED_SAE_CONFIG_GETTERS[function](record.repo_id, path, "cpu", False, {})
            except FileNotFoundError:
                cfg = {}
            if cfg.get("activation_fn") == "topk":
                cfg["architecture"] = "topk"
            names = ("architecture", "hook_name", "hook_name_out")
            listed.append({**entry, **{name: cfg[name] for name in names if name in cfg}})
    return listed
