"""Small work on several SAEs at the same time: on a CPU, one thread each keeps the cores busier than all on one SAE."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from sae_bench.custom_saes.interface import decoder_is_linear
from sae_bench.custom_saes.loading import Member

T = TypeVar("T")
MOST_AT_ONCE = 8
"""Each SAE at work needs memory of its own."""


def side_by_side(work: Callable[[Member], T], members: Sequence[Member]) -> Iterator[tuple[Member, T]]:
    """What `work` returns for each SAE, as soon as it and those before it are done.

    The threads that torch has are shared out; all SAEs get equally many, so that none is computed otherwise than the
    others. The first SAE of each hook (transcoders: of each pair of hooks) goes ahead: what the SAEs of a hook share is
    made there. An SAE whose decoder is not linear waits for the end: it may have to run the model, which is done by one
    at a time.

    Args:
        work: must not raise, nor change what it reads for another SAE of the same hook, once it was done for one.
        members: the SAEs, on the CPU.
    """
    linear = [member for member in members if decoder_is_linear(member.sae)]
    alone = [member for member in members if not decoder_is_linear(member.sae)]
    n_threads = torch.get_num_threads()
    at_once = scored_at_once(len(linear))
    if at_once < 2:
        yield from ((member, work(member)) for member in members)
        return
    first_of = {member.place: member for member in reversed(linear)}
    ahead = [member for member in linear if first_of[member.place] is member]
    behind = [member for member in linear if first_of[member.place] is not member]
    pool = ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(n_threads // at_once,))
    try:
        for member in ahead:
            yield member, pool.submit(work, member).result()
        yield from zip(behind, pool.map(work, behind), strict=True)
        yield from ((member, pool.submit(work, member).result()) for member in alone)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(n_threads)


def scored_at_once(n_saes: int) -> int:
    """How many of so many SAEs `side_by_side` works on at the same time."""
    return max(1, min(n_saes, torch.get_num_threads(), MOST_AT_ONCE))
