"""An optional cache of activations on disk, addressed by content.

The key of a batch covers the model's fingerprint (configuration, weights, dtype, BOS rule), the hook and the token
ids, so a changed model, dtype, text or context can never meet a stale file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sae_bench.atomic import atomic_path
from sae_bench.language_models import LanguageModel


class ActivationStore:
    """One safetensors file per batch and hook under `folder`."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def load(
        self, lm: LanguageModel, hooks: Sequence[str], ids_BL: Tensor, *, only_B: Tensor | None = None
    ) -> dict[str, Tensor] | None:
        """The activations at all `hooks`, or None if any of them is not there (or unreadable).

        Args:
            only_B: the one position of each row whose activations were kept; None for all.
        """
        values: dict[str, Tensor] = {}
        for hook in hooks:
            path = self._path(lm, hook, ids_BL, only_B)
            if not path.is_file():
                return None
            try:
                values[hook] = load_file(path)["activations"].to(lm.device)
            except (SafetensorError, KeyError):  # cut off by a crash of the file system: make it again
                path.unlink(missing_ok=True)
                return None
        return values

    def save(
        self, lm: LanguageModel, ids_BL: Tensor, values: dict[str, Tensor], *, only_B: Tensor | None = None
    ) -> None:
        """Write the activations of one batch, or of one position of each of its rows."""
        for hook, value in values.items():
            path = self._path(lm, hook, ids_BL, only_B)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                save_file({"activations": value.contiguous().cpu()}, partial)

    def _path(self, lm: LanguageModel, hook: str, ids_BL: Tensor, only_B: Tensor | None) -> Path:
        digest = hashlib.sha256(f"{hook} {tuple(ids_BL.shape)} ".encode() + ids_BL.cpu().numpy().tobytes())
        if only_B is not None:
            digest.update(b" only " + only_B.cpu().numpy().tobytes())
        return self.folder / lm.fingerprint() / hook / f"{digest.hexdigest()[:32]}.safetensors"
