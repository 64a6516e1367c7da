"""What came of a pass over texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from sae_bench.activations.requests import Served
from sae_bench.custom_saes.loading import Member


@dataclass
class PassReport:
    """What came of a pass: what it made of each request, failed SAEs, tokens read, seconds spent.

    Attributes:
        served: one entry per request, in their order.
        failed: key of an SAE that raised -> its exception.
        n_texts, n_tokens: what the model read; padding does not count.
        texts_at_once: one entry per request: how many texts or rows the model read at once, at most.
        seconds: spent in the model, the SAEs and the consumers.
    """

    served: Sequence[Served] = ()
    failed: dict[str, Exception] = field(default_factory=dict)
    n_texts: int = 0
    n_tokens: int = 0
    texts_at_once: Sequence[int] = ()
    seconds: dict[str, float] = field(default_factory=lambda: {"lm_pass": 0.0, "sae_encode": 0.0, "consume": 0.0})

    def alive(self, members: Sequence[Member]) -> list[Member]:
        """The SAEs that have not failed."""
        return [member for member in members if member.key not in self.failed]

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add what passes while it is open to the seconds of a phase."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += perf_counter() - start
