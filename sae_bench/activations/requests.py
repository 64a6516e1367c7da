"""What an eval may ask of the shared pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable

from jaxtyping import Int
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch
from sae_bench.activations.pooled import CodeMatrix
from sae_bench.custom_saes.interface import SparseCodes
from sae_bench.custom_saes.loading import Member

Tokens = Literal["all", "last"]
"""Which tokens of a text the vector of the text is made of."""


@dataclass(frozen=True)
class PooledTexts:
    """Asks for one vector per text, of activations and of codes; the pass answers with `PooledValues`.

    Attributes:
        token_ids: token ids of each text (`TokenTexts`, or a list of lists); texts that several requests share are run
            and encoded once.
        sae_keys: keys of the SAEs that it wants codes of; None wants all of the pass.
        tokens: what the vector of a text is: the mean over `all` of its tokens but special ones, or the values at its
            `last` token, whatever that is; of a text that is only wanted at its last token, no other is encoded.
        max_texts: the model reads so many of these texts at once; None leaves it to the pass.
        extra_hooks: hooks whose activations are wanted besides those that the SAEs read.
    """

    token_ids: Sequence[Sequence[int]]
    sae_keys: frozenset[str] | None = None
    tokens: Tokens = "all"
    max_texts: int | None = None
    extra_hooks: tuple[str, ...] = ()


@dataclass(frozen=True)
class PooledValues:
    """What the pass made of a `PooledTexts`, in the order of its texts.

    Attributes:
        activations: hook name -> (T, D) vectors; who asked may take out what it has used, to free the memory.
        codes: SAE key -> pooled codes; the SAEs that failed are not there.
    """

    activations: dict[str, Tensor]
    codes: dict[str, CodeMatrix]


@runtime_checkable
class BatchConsumer(Protocol):
    """Reads packed rows batch by batch while the pass goes over them."""

    def on_activations(self, batch: ActivationBatch) -> None:
        """Once per batch, before any SAE."""

    def on_codes(self, batch: ActivationBatch, member: Member, codes: SparseCodes | Tensor) -> None:
        """Once per batch and SAE, with the codes of the batch's valid tokens."""

    def on_batch_end(self, batch: ActivationBatch) -> None:
        """Once per batch, after all SAEs."""

    def drop(self, member: Member) -> None:
        """The SAE failed and will not be seen again."""


@dataclass(frozen=True)
class TokenRows:
    """Asks for packed rows in batches of exactly `batch_rows`, in order, handed to `consumer`.

    `extra_hooks` are captured besides those of the SAEs; only the SAEs in `sae_keys` are encoded (None: all). The model
    reads `max_rows` of a batch at once; None leaves it to the pass.
    """

    rows_NL: Int[Tensor, "N L"]
    batch_rows: int
    consumer: BatchConsumer
    extra_hooks: tuple[str, ...] = ()
    sae_keys: frozenset[str] | None = None
    max_rows: int | None = None


Request = PooledTexts | TokenRows

Served = PooledValues | BatchConsumer
"""What the pass made of a request: the vectors of `PooledTexts`, the consumer that a `TokenRows` brought along."""

ServedT = TypeVar("ServedT")


def only(served: Sequence[Served], kind: type[ServedT]) -> ServedT:
    """What the pass made of a job's one request.

    Args:
        served: what `Job.score` is given.
        kind: the class that it has to be of.
    """
    if len(served) != 1 or not isinstance(served[0], kind):
        got = ", ".join(type(one).__name__ for one in served) or "nothing"
        raise TypeError(f"one {kind.__name__} is what this job asked the pass for; it was handed {got}.")
    return served[0]
