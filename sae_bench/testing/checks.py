"""Named checks of a contract: each runs by itself, as a test of one's own suite, or all of them in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sae_bench.errors import ContractError, UsageError


@dataclass(frozen=True)
class Check:
    """One check: calling it raises `ContractError` with all that it finds.

    Attributes:
        name: `<check>`, or `<check>[<SAE>]` where every SAE is checked by itself.
        findings: yields one sentence per fault.
        expected: why it is known to fail; then it has to fail.
    """

    name: str
    findings: Callable[[], Iterator[str]]
    expected: str = ""

    def __call__(self) -> None:
        faults = list(self.findings())
        if self.expected and not faults:
            raise ContractError(
                f"{self.name} holds, but is declared to fail: {self.expected}. Next: take the declaration away."
            )
        if faults and not self.expected:
            raise ContractError(f"{self.name}:{_listed(faults)}")


@dataclass(frozen=True)
class CheckReport:
    """What `run_checks` saw where nothing failed that was not expected to.

    Attributes:
        checked: names of the checks that held.
        expected: name of a check that failed as declared -> why.
    """

    checked: tuple[str, ...]
    expected: dict[str, str]


def run_checks(checks: Iterable[Check]) -> CheckReport:
    """Run checks one after the other.

    Raises:
        ContractError: all failures at once.
    """
    held: list[str] = []
    expected: dict[str, str] = {}
    failures: list[str] = []
    for check in checks:
        try:
            check()
        except Exception as error:  # a check runs code of others, which fails in every way; that is the finding
            failures.append(str(error) if isinstance(error, ContractError) else _raised(check.name, error))
        else:
            if check.expected:
                expected[check.name] = check.expected
            else:
                held.append(check.name)
    if failures:
        raise ContractError(f"the contract is not kept ({len(failures)} checks failed):{_listed(failures)}")
    return CheckReport(tuple(held), expected)


def declared(checks: Iterable[Check], expected: Mapping[str, str]) -> Iterator[Check]:
    """The checks with the reasons of those that are known to fail.

    Args:
        checks: without reasons.
        expected: name of a check, with or without its `[<SAE>]` -> why it fails.
    Raises:
        UsageError: there is no check of that name.
    """
    left = set(expected)
    for check in checks:
        names = [name for name in (check.name, check.name.partition("[")[0]) if name in expected]
        left -= set(names)
        yield Check(check.name, check.findings, expected[names[0]]) if names else check
    if left:
        raise UsageError(f"expected failures name checks that do not exist: {', '.join(sorted(left))}.")


def _raised(name: str, error: Exception) -> str:
    return f"{name} raised {type(error).__name__}: {error}"


def _listed(faults: list[str]) -> str:
    if len(faults) == 1:
        return f" {faults[0]}"
    return "".join(f"\n  {number}. {fault}" for number, fault in enumerate(faults, 1))
