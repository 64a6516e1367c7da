"""An SAE that takes part in a run: loaded, on its device, with what a reader of its scores has to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Member:
    """A loaded SAE.

    Attributes:
        release, sae_id: the two parts of its result file's name.
        sae: the object with `encode`, `decode`, `W_dec` and `cfg`.
        hook_name: where it sits.
        warnings: about its weights (a decoder that is not unit-norm, say).
    """

    release: str
    sae_id: str
    sae: Any = field(repr=False)
    hook_name: str
    warnings: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Unique name within a run."""
        return f"{self.release}_{self.sae_id}"
