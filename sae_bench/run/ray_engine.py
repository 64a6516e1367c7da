"""A run on the workers of a Ray cluster: one actor per GPU or core, each holding its model; free ones take units.

Ray starts and places the actors, tells of their death and carries what they make. What stays here is what Ray cannot
know: which SAEs are a unit, and that a unit which kills its workers is divided until one SAE is left, which is recorded
as failed while the others go on.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from sae_bench.atomic import marker, write_bytes_atomically, write_text_atomically
from sae_bench.errors import PrerequisiteError, UsageError
from sae_bench.results.files import failure_path, result_path
from sae_bench.results.sample_files import samples_path
from sae_bench.run import planner
from sae_bench.run.plan import Failure, Listener, RunSummary
from sae_bench.run.ray_worker import Broken, Event, Finished, Hello, MadeFile, Place, Progress, Work, Worker
from sae_bench.run.request import RunRequest

logger = logging.getLogger(__name__)

KILLS = 2
"""A unit of one SAE at which so many workers have died is recorded as failed."""

LOST_STARTS = 3
"""So many workers may die one after the other before they have said who they are."""

_LOG_LINES = 20


@dataclass(frozen=True)
class Item:
    """One SAE of a request.

    Attributes:
        model: number of its model.
        hook: where it sits; None where only loading tells.
        folders: eval -> where its results go.
    """

    model: int
    hook: str | None
    release: str
    sae_id: str
    folders: Mapping[str, Path]

    def results(self) -> dict[str, Path]:
        """Eval -> file of its result."""
        return {name: result_path(folder, self.release, self.sae_id) for name, folder in self.folders.items()}


def evaluate_on_ray(request: RunRequest, items: Sequence[Item], work: Work, listener: Listener) -> RunSummary:
    """Evaluate the SAEs of a request on a cluster, which is joined or started.

    Args:
        items: its SAEs.
        work: what a worker does with some of them.
        listener: told how it goes.
    Raises:
        UsageError: the request cannot be sent to other processes.
        PrerequisiteError: Ray or a cluster is missing, or something that the request needs.
    """
    ray = _import_ray()
    with ExitStack() as stack:
        stack.enter_context(_cluster(ray, request.ray_address))
        markers = {}
        for folder in dict.fromkeys([request.output_folder, *(t.output_folder for t in request.targets)]):
            if folder is not None:  # inside the folder of an eval the next run removes what a killed one leaves
                own = [p for item in items for p in item.folders.values() if folder in (p, p.parent)]
                markers[folder] = stack.enter_context(marker(own[0] if own else folder))
        return _Driver(ray, request, items, work, markers, listener).run()


@dataclass
class _Held:
    """An actor with what it is at, and what is known of it.

    Attributes:
        seconds: what its unit takes by price, with the start of its model if it takes that up.
        asked: how many results its unit has; `done` and `failed` count those that are there, or cannot be.
    """

    actor: Any
    hello: Hello | None = None
    unit: planner.Unit | None = None
    model: int | None = None
    seconds: float = 0.0
    asked: int = 1
    done: int = 0
    failed: int = 0

    @property
    def name(self) -> str:
        return "a worker that starts" if self.hello is None else self.hello.name

    @property
    def seconds_left(self) -> float:
        """Until it is free, by price."""
        return (
            0.0 if self.unit is None else self.seconds * (1.0 - min(self.done + self.failed, self.asked) / self.asked)
        )


class _Driver:
    def __init__(
        self,
        ray: ModuleType,
        request: RunRequest,
        items: Sequence[Item],
        work: Work,
        markers: Mapping[Path, Path],
        listener: Listener,
    ) -> None:
        self.ray, self.request, self.items, self.work = ray, request, items, work
        self.markers, self.listener = markers, listener
        resources = _resources(ray, request)
        self.n_workers = min(_n_workers(ray, resources), len(items))
        self.actor_class = ray.remote(Worker).options(**resources, max_restarts=0)
        groups = planner.groups_of([(item.model, item.hook) for item in items])
        self.waiting = planner.Waiting(planner.divide(groups, self.n_workers))
        self.before = {path for item in items for path in item.results().values() if path.exists()}
        self.streams: dict[Any, _Held] = {}
        self.free: list[_Held] = []
        self.lost_starts = self.done = 0
        self.summary = RunSummary()

    def run(self) -> RunSummary:
        phase = f"{len(self.waiting)} units of {len(self.items)} SAEs on {self.n_workers} workers"
        self.listener.on_phase(phase, 0)
        try:
            for _ in range(self.n_workers):
                self._start_worker()
            while len(self.waiting) or any(held.unit is not None for held in self.streams.values()):
                self._hand_out()
                ready, _ = self.ray.wait(list(self.streams), num_returns=1, timeout=1.0)
                for stream in ready:
                    self._hear(stream)
        finally:
            for held in [*self.streams.values(), *self.free]:
                self.ray.kill(held.actor)
        return self._sum_up()

    def _start_worker(self) -> None:
        actor = self.actor_class.remote(os.getcwd())
        self.streams[actor.hello.remote(list(self.markers.values()))] = _Held(actor)

    def _hand_out(self) -> None:
        free, self.free = self.free, []
        for n, held in enumerate(free):
            others = [*(other for other in self.streams.values() if other.unit), *self.free, *free[n + 1 :]]
            unit = self.waiting.take(held.model, [(other.model, other.seconds_left) for other in others])
            if unit is None:
                self.free.append(held)
            else:
                self._set_to_work(held, unit)

    def _set_to_work(self, held: _Held, unit: planner.Unit) -> None:
        assert held.hello is not None
        unseen = [] if held.hello.sees_folders else [self._there(folder, unit) for folder in self.markers]
        call = held.actor.evaluate.options(num_returns="streaming")
        stream = call.remote(self.request, unit.members, self.work, unseen)
        self.streams[stream] = replace(
            held,
            unit=unit,
            model=unit.model,
            seconds=unit.seconds + (0.0 if unit.model == held.model else unit.price.start),
            asked=max(sum(len(self.items[n].folders) for n in unit.members), 1),
            done=0,
            failed=0,
        )
        logger.info("%s takes %d SAEs", held.name, len(unit.members))

    def _there(self, folder: Path, unit: planner.Unit) -> Place:
        """What a worker that does not see a folder has to know of it: results of its SAEs that are there."""
        paths: list[Path] = []
        for item in (self.items[n] for n in unit.members):
            for eval_folder in item.folders.values():
                if folder in (eval_folder, eval_folder.parent):
                    paths.append(result_path(eval_folder, item.release, item.sae_id))
                    paths.append(samples_path(eval_folder, item.release, item.sae_id))
        return Place(folder, {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths if p.is_file()})

    # ---- what workers say

    def _hear(self, stream: Any) -> None:
        """The next word of a worker, or the news of its death."""
        held = self.streams[stream]
        try:
            word = self.ray.get(stream if held.unit is None else next(stream))
        except StopIteration:
            self._died(stream, "it ended without a word")
        except self.ray.exceptions.RayTaskError as error:  # of the worker's own code, not of an SAE's
            self._end(stream)
            self._broken(held, Broken("other", str(error.cause), str(error)))
        except self.ray.exceptions.RayError as error:
            self._died(stream, str(error))
        else:
            self._take(stream, held, word)

    def _take(self, stream: Any, held: _Held, word: Hello | Event) -> None:
        if isinstance(word, Hello):
            self.lost_starts = 0
            held.hello = word
            self._end(stream)
        elif isinstance(word, MadeFile):
            write_bytes_atomically(word.folder / word.relative, word.content)
        elif isinstance(word, Progress):
            held.done, held.failed = word.done, word.failed
            self.listener.on_tokens(word.tokens)
            self._tell()
        elif isinstance(word, Finished):
            self._end(stream)
            self.done += len(word.summary.results)
            self.summary.add(replace(word.summary, written=[], skipped=[]))
            self._tell()
        else:
            self._end(stream)
            self._broken(held, word)

    def _end(self, stream: Any) -> None:
        """The worker is free."""
        held = self.streams.pop(stream)
        self.free.append(replace(held, unit=None, done=0, failed=0))

    def _broken(self, held: _Held, word: Broken) -> None:
        """A unit ended with an error: the request's ends the run, a lack of memory divides the unit.

        Raises:
            PrerequisiteError: the request cannot be carried out, by whomever.
        """
        assert held.unit is not None
        if word.kind == "request":
            raise PrerequisiteError(word.message)
        if word.kind == "memory" and len(held.unit.members) > 1:
            logger.warning("%s: %s; %d SAEs are divided", held.name, word.message, len(held.unit.members))
            for part in held.unit.cut(2):
                self.waiting.put_back(part, 1)
        else:
            self._fail(held.unit, word.message, word.traceback)

    def _died(self, stream: Any, message: str) -> None:
        """Another worker takes the place of a dead one; its unit waits again, or has failed.

        Raises:
            PrerequisiteError: workers die before they take up anything.
        """
        held = self.streams.pop(stream)
        self.ray.kill(held.actor)
        first_line = next(iter(message.splitlines()), "")
        if held.unit is None:
            self.lost_starts += 1
            if self.lost_starts == LOST_STARTS:
                raise PrerequisiteError(f"workers die as they start: {first_line} Next: look into Ray's logs.")
        else:
            deaths, n_saes = held.unit.deaths + 1, len(held.unit.members)
            logger.warning("%s died at %d SAEs: %s", held.name, n_saes, first_line)
            if deaths < KILLS:
                self.waiting.put_back(replace(held.unit, deaths=deaths), self.n_workers)
            elif n_saes > 1:
                for part in held.unit.cut(2):  # whoever of them kills a worker again is found
                    self.waiting.put_back(part, 1)
            else:
                said = f"{deaths} workers died at it, the last with: {first_line}"
                self._fail(held.unit, said, f"{message}\n\n{_end_of_log(held)}")
        self._start_worker()

    def _fail(self, unit: planner.Unit, message: str, details: str) -> None:
        """Record what a unit still lacks as failed."""
        for item in (self.items[n] for n in unit.members):
            for name, path in item.results().items():
                if path.exists() and not (self.request.force_rerun and path in self.before):
                    self.done += 1
                    continue
                file = failure_path(item.folders[name], name, item.release, item.sae_id)
                write_text_atomically(file, f"{message}\n\n{details}\n")
                self.summary.failures.append(Failure(f"{item.release}_{item.sae_id}", name, message, file))
                logger.error("%s failed on %s: %s", name, item.sae_id, message, extra={"in_summary": True})
        self._tell()

    def _tell(self) -> None:
        done = self.done + sum(held.done for held in self.streams.values())
        failed = len(self.summary.failures) + sum(held.failed for held in self.streams.values())
        self.listener.on_result(done, failed, sum(len(item.folders) for item in self.items))

    def _sum_up(self) -> RunSummary:
        """What is there now, and what was there before."""
        for item in self.items:
            for name, path in item.results().items():
                if path in self.before and not self.request.force_rerun:
                    self.summary.skipped.append(path)
                elif path.exists():
                    self.summary.written.append(path)
                    failure_path(item.folders[name], name, item.release, item.sae_id).unlink(missing_ok=True)
        of_name = {f"{item.release}_{item.sae_id}": item for item in self.items}
        for n, failure in enumerate(self.summary.failures):  # whatever machine its traceback was written on
            item, name = of_name[failure.sae], failure.eval_name
            file = failure_path(item.folders[name], name, item.release, item.sae_id)
            self.summary.failures[n] = replace(failure, traceback_file=file)
        return self.summary


# ---- the cluster


def _import_ray() -> ModuleType:
    try:
        import ray
    except ImportError as error:
        raise PrerequisiteError("--engine ray needs Ray. Next: pip install 'sae-bench[ray]'.") from error
    return ray


@contextmanager
def _cluster(ray: ModuleType, address: str | None) -> Iterator[None]:
    """A cluster: the one that this process is in, the one at an address, or one of this machine's own."""
    if ray.is_initialized():
        yield
        return
    if address is not None:
        _refuse_dead_address(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # the work is what the machine is there for
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
            **({} if address else {"include_dashboard": False}),
        )
    except (ConnectionError, ValueError) as error:
        raise _no_cluster(address, error) from error
    try:
        yield
    finally:
        ray.shutdown()


def _refuse_dead_address(address: str) -> None:
    """Raise `PrerequisiteError` in seconds if nothing answers at a HOST:PORT; Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "://" in address or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str | None, error: Exception) -> PrerequisiteError:
    return PrerequisiteError(
        f"no Ray cluster at '{address}': {error}. Next: 'ray start --head' on one of its machines, or leave "
        "--ray-address out, which starts one here."
    )


def _resources(ray: ModuleType, request: RunRequest) -> dict[str, float]:
    """What an actor takes: a share of a GPU where there are any, else a core.

    Raises:
        UsageError: a device that Ray does not hand out.
        PrerequisiteError: GPUs are asked for, and the cluster has none.
    """
    if request.device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--engine ray chooses GPUs itself; '{request.device}' was asked for. Next: --device cuda.")
    has_gpus = ray.cluster_resources().get("GPU", 0) > 0
    if request.device == "cuda" and not has_gpus:
        raise PrerequisiteError("--device cuda: the Ray cluster has no GPU. Next: --device cpu, or nodes with GPUs.")
    return {"num_cpus": 1.0, "num_gpus": request.gpus_per_worker if has_gpus and request.device != "cpu" else 0.0}


def _n_workers(ray: ModuleType, resources: Mapping[str, float]) -> int:
    """How many actors have room.

    Raises:
        PrerequisiteError: none has.
    """
    n_workers = 0
    for node in ray.nodes():
        if node["Alive"]:
            has = {"num_cpus": node["Resources"].get("CPU", 0), "num_gpus": node["Resources"].get("GPU", 0)}
            n_workers += int(min(has[key] / amount for key, amount in resources.items() if amount))
    if not n_workers:
        raise PrerequisiteError(
            f"no node of the Ray cluster has room for a worker ({resources}). Next: --gpus-per-worker with a smaller "
            "number, or nodes with more."
        )
    return n_workers


def check_engine(request: RunRequest) -> None:
    """Raise `UsageError` if workers cannot carry out a request for them, or words for them stand without them."""
    if request.engine != "ray":
        if request.ray_address is not None or request.gpus_per_worker != 1:
            raise UsageError("--ray-address and --gpus-per-worker are for workers. Next: add --engine ray.")
        return
    if request.gpus_per_worker > 1 and not request.gpus_per_worker.is_integer():
        raise UsageError(
            f"--gpus-per-worker {request.gpus_per_worker:g}: a worker has whole GPUs or a share of one. Next: 0.5 or 2."
        )
    if request.shard is not None:
        raise UsageError("--shard and --engine ray both divide the run. Next: leave one of them out.")
    for target in request.targets:
        if not isinstance(target.model, str | None) or not all(isinstance(sae, str) for sae in target.saes):
            raise UsageError("--engine ray takes models and SAEs by name, not as objects. Next: save and name them.")


def _end_of_log(held: _Held) -> str:
    """The last lines that a worker wrote to its errors, if its machine's files are ours."""
    log = "" if held.hello is None else held.hello.log
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"its log: {log or 'unknown'} ({held.name})"
    return "\n".join([f"the end of its log, {log}:", *lines[-_LOG_LINES:]])
