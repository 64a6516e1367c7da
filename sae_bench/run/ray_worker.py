"""What a worker of a cluster does: evaluates unit after unit and tells the driver of everything as it happens.

Nothing here needs Ray.
"""

from __future__ import annotations

import os
import queue
import socket
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sae_bench.atomic import write_bytes_atomically
from sae_bench.errors import SAEBenchError
from sae_bench.run.objects import HeldModel
from sae_bench.run.plan import Listener, RunSummary

if TYPE_CHECKING:
    from sae_bench.run.request import RunRequest

Work = Callable[["RunRequest", Sequence[int], HeldModel, Listener], RunSummary]
"""Evaluates the SAEs at some places of a request."""


@dataclass(frozen=True)
class Hello:
    """What a worker says of itself.

    Attributes:
        name: number of its process, and of its machine.
        log: the file on its machine that it writes its errors to.
        sees_folders: whether it can write where the driver reads.
    """

    name: str
    log: str
    sees_folders: bool


@dataclass(frozen=True)
class Progress:
    """So far: results of the unit that are there, that failed, and tokens that were read since the last word."""

    done: int
    failed: int
    tokens: int


@dataclass(frozen=True)
class MadeFile:
    """A file that a worker made in a folder which the driver does not see."""

    folder: Path
    relative: str
    content: bytes


@dataclass(frozen=True)
class Finished:
    """All SAEs of the unit are done or recorded as failed."""

    summary: RunSummary


@dataclass(frozen=True)
class Broken:
    """The unit ended with an error that is none of one SAE.

    Attributes:
        kind: what the driver does about it: `memory` divides the unit, `request` ends the run, `other` fails the unit.
    """

    kind: str
    message: str
    traceback: str


Event = Progress | MadeFile | Finished | Broken


@dataclass(frozen=True)
class Place:
    """Where results go: one folder of the driver's.

    Attributes:
        folder: as the driver calls it.
        there: what the driver has there of the SAEs of the unit, by relative path; for workers that do not see it.
    """

    folder: Path
    there: Mapping[str, bytes] = field(default_factory=dict)


class Worker:
    """Holds a model from one unit to the next.

    Args:
        folder: where the driver works; paths of the request may be relative to it.
    """

    def __init__(self, folder: str) -> None:
        if Path(folder).is_dir():
            os.chdir(folder)
        self._held = HeldModel()
        self._own = tempfile.TemporaryDirectory(prefix="sae_bench_")

    def hello(self, markers: Sequence[Path]) -> Hello:
        """Who it is, and whether the driver's folders are its, too."""
        try:
            log = os.readlink("/proc/self/fd/2")
        except OSError:
            log = ""
        sees = all(marker.exists() for marker in markers)
        return Hello(f"worker {os.getpid()} on {socket.gethostname()}", log, sees)

    def evaluate(
        self, request: RunRequest, members: Sequence[int], work: Work, unseen: Sequence[Place] = ()
    ) -> Iterator[Event]:
        """Evaluate SAEs of a request.

        Args:
            members: their places in the request.
            work: what evaluates them.
            unseen: folders of the driver that are not this machine's: what would go there goes into events.
        """
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        own = self._own_folders(unseen)
        sent = {own[place.folder] / name for place in unseen for name in place.there}
        at_work = threading.Thread(target=self._work, args=(_moved(request, own), members, work, events), daemon=True)
        at_work.start()
        while True:
            event = events.get()
            for folder, here in own.items():
                yield from _new_files(folder, here, sent)
            yield event
            if isinstance(event, Finished | Broken):
                at_work.join()
                return

    def _work(self, request: RunRequest, members: Sequence[int], work: Work, events: queue.SimpleQueue[Event]) -> None:
        read = 0

        def tokens(n: int) -> None:
            nonlocal read
            read += n

        def result(done: int, failed: int, _asked: int) -> None:
            nonlocal read
            events.put(Progress(done, failed, read))
            read = 0

        try:
            events.put(Finished(work(request, members, self._held, Listener(on_tokens=tokens, on_result=result))))
        except BaseException as error:
            events.put(Broken(_kind(error), str(error) or type(error).__name__, traceback.format_exc()))

    def _own_folders(self, places: Sequence[Place]) -> dict[Path, Path]:
        """A folder of the worker's for every one of the driver's, with what the driver has there."""
        own = {place.folder: Path(self._own.name) / str(n) for n, place in enumerate(places)}
        for place in places:
            for name, content in place.there.items():
                write_bytes_atomically(own[place.folder] / name, content)
        return own


def _kind(error: BaseException) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # that of torch
        return "memory"
    return "request" if isinstance(error, SAEBenchError) else "other"


def _moved(request: RunRequest, own: Mapping[Path, Path]) -> RunRequest:
    """The request with its results going to other folders."""
    if not own:
        return request
    targets = [
        target.model_copy(update={"output_folder": own[target.output_folder or request.output_folder]})
        for target in request.targets
    ]
    return request.model_copy(update={"targets": tuple(targets), "output_folder": own[request.output_folder]})


def _new_files(folder: Path, here: Path, sent: set[Path]) -> Iterator[MadeFile]:
    """Results and samples that were not sent yet; samples go before the result that they belong to."""
    paths = [path for path in here.rglob("*") if path.is_file() and path not in sent and not path.name.startswith(".")]
    for path in sorted(paths, key=lambda path: path.name.endswith("_eval_results.json")):
        if "artifacts" in path.relative_to(here).parts:
            continue
        sent.add(path)
        yield MadeFile(folder, path.relative_to(here).as_posix(), path.read_bytes())
