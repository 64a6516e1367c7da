"""How the SAEs of a run are divided among workers: pure arithmetic, without a model or a clock.

SAEs of one model share a pass over the texts. Whoever takes some of them pays that pass again, so that more and smaller
units balance better and cost more. A plan depends on the request and on prices alone: all machines make the same one.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

CHEAP = 0.05
"""A worker's part is cut again as long as the passes that this adds cost no more than such a share of it."""


@dataclass(frozen=True)
class Price:
    """What the work on one model costs, in seconds or in any other unit of time.

    Attributes:
        start: loading the model and preparing the evals; once per worker that takes up the model.
        read: a pass over the texts; once per unit.
        hook: what every hook of a unit adds, such as the probes of its residual stream.
        sae: encoding and scoring one SAE.
    """

    start: float = 1.5
    read: float = 1.2
    hook: float = 0.3
    sae: float = 1.0


NOMINAL = Price()
"""Prices in evaluations of one SAE, where nothing was measured (the eleven evals of the demo, about)."""


@dataclass(frozen=True)
class Unit:
    """SAEs of one model that a worker evaluates in one go.

    Attributes:
        model: number of the model in the request.
        at_hook: per hook the places of its SAEs in the request.
        price: of the work on its model.
        deaths: how many workers have died of it, or at least at it.
    """

    model: int
    at_hook: tuple[tuple[Hashable, tuple[int, ...]], ...]
    price: Price = NOMINAL
    deaths: int = 0

    @property
    def members(self) -> tuple[int, ...]:
        """Places of its SAEs in the request."""
        return tuple(place for _, places in self.at_hook for place in places)

    @property
    def seconds(self) -> float:
        """What it costs a worker that holds its model."""
        return self.price.read + self.price.hook * len(self.at_hook) + self.price.sae * len(self.members)

    def cut(self, n_parts: int) -> list[Unit]:
        """The unit in parts of equal size, at most as many as it has SAEs."""
        hooks = [(hook, place) for hook, places in self.at_hook for place in places]
        n_parts = max(1, min(n_parts, len(hooks)))
        ends = [round(len(hooks) * n / n_parts) for n in range(n_parts + 1)]
        return [self._of(hooks[a:b]) for a, b in pairwise(ends)]

    def _of(self, hooks: Iterable[tuple[Hashable, int]]) -> Unit:
        places: dict[Hashable, list[int]] = {}
        for hook, place in hooks:
            places.setdefault(hook, []).append(place)
        return replace(self, at_hook=tuple((hook, tuple(at)) for hook, at in places.items()))


def groups_of(keys: Sequence[tuple[int, Hashable]], prices: Sequence[Price] | None = None) -> list[Unit]:
    """One unit per model with all of its SAEs.

    Args:
        keys: of every SAE the number of its model and its hook.
        prices: of each model; None takes the nominal ones.
    """
    places: dict[int, list[tuple[Hashable, int]]] = {}
    for place, (model, hook) in enumerate(keys):
        places.setdefault(model, []).append((hook, place))
    return [
        Unit(model, (), NOMINAL if prices is None else prices[model])._of(of_model)
        for model, of_model in places.items()
    ]


def shares(groups: Sequence[Unit], n_workers: int) -> list[list[Unit]]:
    """Deal the SAEs out so that the longest share is about as short as it can be.

    Args:
        groups: a unit per model (`groups_of`).
        n_workers: how many shares.
    Returns:
        per share its units, one per model; a share may be empty.
    """
    groups = [unit for unit in groups if unit.members]
    high = sum(unit.price.start + unit.seconds for unit in groups)
    low = high / n_workers
    for _ in range(30):
        middle = (low + high) / 2
        if _filled(groups, middle, n_workers) is None:
            low = middle
        else:
            high = middle
    dealt = _filled(groups, high * (1 + 1e-9), n_workers) or []
    return [[groups[n]._of(hooks) for n, hooks in share] for share in dealt] + [[]] * (n_workers - len(dealt))


def divide(groups: Sequence[Unit], n_workers: int) -> list[Unit]:
    """Units for workers that take one after the other, the longest first.

    The share of each worker is cut further as far as that is cheap, so that whoever is faster takes more.
    """
    units = []
    for share in shares(groups, n_workers):
        for unit in share:
            again = unit.price.read + unit.price.hook
            units += unit.cut(1 + int(CHEAP * unit.seconds / again) if again else len(unit.members))
    return sorted(units, key=lambda unit: -unit.seconds)


class Waiting:
    """Units that no worker has taken yet."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self._units = list(units)

    def __len__(self) -> int:
        return len(self._units)

    def take(self, held: int | None, at_work: Sequence[tuple[int | None, float]] = ()) -> Unit | None:
        """What a free worker does: the longest unit of the model that it holds, else the longest that it helps with.

        It helps with a unit of another model if it ends before those who hold that model have done all of its units.

        Args:
            held: the model that the worker holds.
            at_work: of every other worker the model that it holds and the seconds until it is free.
        Returns:
            the unit; None if nothing waits, or nothing that would be done sooner for it.
        """
        own = [unit for unit in self._units if unit.model == held]
        end = {} if own else {n: self._end_of_model(n, at_work) for n in {unit.model for unit in self._units}}
        helped = own or [unit for unit in self._units if unit.price.start + unit.seconds < end[unit.model]]
        if not helped:
            return None
        unit = max(helped, key=lambda unit: unit.seconds)
        self._units.remove(unit)
        return unit

    def _end_of_model(self, model: int, at_work: Sequence[tuple[int | None, float]]) -> float:
        """When those who hold a model have done all of its units that wait; never, if nobody holds it."""
        free = [seconds for other, seconds in at_work if other == model]
        if not free:
            return math.inf
        heapq.heapify(free)
        end = 0.0
        for seconds in sorted((unit.seconds for unit in self._units if unit.model == model), reverse=True):
            end = max(end, free[0] + seconds)
            heapq.heapreplace(free, free[0] + seconds)
        return end

    def put_back(self, unit: Unit, n_workers: int) -> None:
        """A unit whose worker has died waits again, in parts if workers would have nothing to do otherwise."""
        self._units += unit.cut(n_workers - len(self._units))


def end_of(units: Sequence[Unit], n_workers: int) -> float:
    """When the last worker ends, if free workers take units as they are handed out."""
    waiting = Waiting(units)
    free: list[tuple[float, int, int | None]] = [(0.0, worker, None) for worker in range(n_workers)]
    idle: list[tuple[int, int | None]] = []
    end = 0.0
    while len(waiting):
        now, worker, held = heapq.heappop(free)
        unit = waiting.take(held, [(model, at - now) for at, _, model in free])
        if unit is None:
            idle.append((worker, held))  # until another takes something
            continue
        finish = now + unit.seconds + (0.0 if unit.model == held else unit.price.start)
        end = max(end, finish)
        for freed in [(finish, worker, unit.model), *((now, *one) for one in idle)]:
            heapq.heappush(free, freed)
        idle.clear()
    return end


def least_seconds(groups: Sequence[Unit], n_workers: int) -> float:
    """No plan of so many workers is shorter than this: neither in all, nor for a worker that works on one model alone.

    In a time T a worker has room for (T - entry) / sae SAEs of a model, and for less if it takes up two models.
    """
    entry = [unit.price.start + unit.price.read + unit.price.hook for unit in groups]
    work = [unit.price.sae * len(unit.members) for unit in groups]
    low = max(e + unit.price.sae for e, unit in zip(entry, groups, strict=True))
    high = low + sum(work)
    for _ in range(60):
        middle = (low + high) / 2
        if sum(w / (middle - e) for w, e in zip(work, entry, strict=True)) <= n_workers:
            high = middle
        else:
            low = middle
    n_saes = sum(len(unit.members) for unit in groups)
    once = sum(unit.price.start + unit.seconds for unit in groups)  # one worker would need
    begin = [unit.price.start + unit.price.read for unit in groups]
    together = (once - sum(begin)) / min(n_workers, n_saes) + min(begin)
    alone = min(entry) + min(unit.price.sae for unit in groups) * -(-n_saes // n_workers)
    return max(high, together, alone, once / n_workers)


_Share = list[tuple[int, list[tuple[Hashable, int]]]]
"""Numbers of groups, each with the (hook, place) of the SAEs that it takes of them."""


def _filled(groups: Sequence[Unit], capacity: float, at_most: int) -> list[_Share] | None:
    """Fill one share after the other up to a capacity, model after model; None if it takes more than `at_most`."""
    dealt: list[_Share] = [[]]
    left = capacity
    for n, group in enumerate(groups):
        price, begun = group.price, False
        for hook, places in group.at_hook:
            first = 0
            while first < len(places):
                entry = price.hook + (0.0 if begun else price.start + price.read)
                fit = math.floor((left - entry) / price.sae + 1e-9)
                if fit < 1:
                    if not dealt[-1] or len(dealt) == at_most:
                        return None
                    dealt.append([])
                    left, begun = capacity, False
                    continue
                if not begun:
                    dealt[-1].append((n, []))
                    begun = True
                chosen = places[first : first + fit]
                dealt[-1][-1][1].extend((hook, place) for place in chosen)
                left -= entry + price.sae * len(chosen)
                first += len(chosen)
    return dealt
