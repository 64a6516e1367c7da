"""What of a run is still to do: every (SAE, eval) that has no result of just this kind."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sae_bench.atomic import remove_partial_files
from sae_bench.custom_saes.loading import Member, identify
from sae_bench.custom_saes.spec import SAEHandle
from sae_bench.errors import ResultError
from sae_bench.language_models.numbers import dtype_name
from sae_bench.results import files
from sae_bench.results.sample_files import samples_path
from sae_bench.run.plan import EvalRequest, RunPlan

logger = logging.getLogger(__name__)


@dataclass
class Pending:
    """What a run has to do, and what it finds done.

    Attributes:
        keys: (release, id of the SAE, eval) of what is to do.
        done: results that are there.
        unidentified: those of them that do not record which SAE they are of.
        unnameable: SAEs, by name, that cannot have a result file.
        made: eval -> what its results are made of, apart from the SAE.
    """

    keys: set[tuple[str, str, str]] = field(default_factory=set)
    done: list[Path] = field(default_factory=list)
    unidentified: list[Path] = field(default_factory=list)
    unnameable: dict[str, ResultError] = field(default_factory=dict)
    made: dict[str, files.Made] = field(default_factory=dict)

    def has(self, release: str, sae_id: str) -> bool:
        """Whether an SAE lacks any result."""
        return any(key[:2] == (release, sae_id) for key in self.keys)

    def evals(self) -> set[str]:
        """The evals that any SAE lacks."""
        return {name for _, _, name in self.keys}


def find_pending(plan: RunPlan, model_fingerprint: str) -> Pending:
    """Find what is still to do; whatever stands in the way of writing it stops the run here.

    Raises:
        ResultError: two SAEs would write one file, a folder cannot be written to, or another result is in the way.
    """
    _refuse_same_files(plan.handles)
    pending, identities = Pending(), _Identities(plan)
    for handle in plan.handles:
        try:
            files.check_name(handle.release, handle.sae_id)
        except ResultError as error:
            pending.unnameable[handle.name] = error
    for request in plan.evals:
        files.check_writable(plan.eval_folder(request.spec.name))
        made = files.Made(
            request.spec.type_id,
            request.spec.protocol,
            request.config,
            plan.seeds,
            model_fingerprint,
            resample_data=plan.resample_data,
        )
        pending.made[request.spec.name] = made
        for handle in plan.handles:
            _sort_in(pending, request, handle, made, plan, identities)
    if pending.unidentified:
        logger.warning(
            "%d results that are there do not record which SAE they are of (older versions wrote them) and are taken "
            "for these SAEs', such as '%s'. --force-rerun replaces them.",
            len(pending.unidentified),
            pending.unidentified[0],
        )
    _remove_leftovers(plan)
    return pending


def made_meanwhile(plan: RunPlan, pending: Pending, name: str, member: Member) -> Path | None:
    """The result of an SAE, if another run on this folder has made it since this one began; else None.

    Raises:
        ResultError: what is there now was made with other settings; it is not overwritten.
    """
    path = files.result_path(plan.eval_folder(name), member.release, member.sae_id)
    if plan.force_rerun or not path.exists():
        return None
    sae = files.SAEIdentity(member.fingerprint, member.hook_name, dtype_name(member.sae.W_dec.dtype))
    return path if files.is_done(path, replace(pending.made[name], sae=sae)) else None


class _Identities:
    """What SAEs are, each looked at once, and only if there are results that may be its."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._known: dict[str, files.SAEIdentity | None] = {}

    def of(self, handle: SAEHandle) -> files.SAEIdentity | None:
        """None for an SAE that cannot be read: the run will say why."""
        if handle.name not in self._known:
            context = self._plan.load_context
            try:
                fingerprint, hook = identify(handle, context)
            except Exception as error:
                logger.debug("%s cannot be identified: %s", handle.name, error)
                self._known[handle.name] = None
            else:
                dtype = handle.fixed_dtype or dtype_name(context.dtype)
                self._known[handle.name] = files.SAEIdentity(fingerprint, hook, dtype)
        return self._known[handle.name]


def _sort_in(
    pending: Pending,
    request: EvalRequest,
    handle: SAEHandle,
    made: files.Made,
    plan: RunPlan,
    identities: _Identities,
) -> None:
    """Put one (SAE, eval) with what is done or with what is to do."""
    key = (handle.release, handle.sae_id, request.spec.name)
    path = files.result_path(plan.eval_folder(request.spec.name), handle.release, handle.sae_id)
    if handle.name in pending.unnameable or plan.force_rerun or not path.exists():
        pending.keys.add(key)
        return
    sae = identities.of(handle)
    if sae is None:
        pending.keys.add(key)
    elif files.is_done(path, replace(made, sae=sae), unidentified=pending.unidentified):
        pending.done.append(path)


def _refuse_same_files(handles: Sequence[SAEHandle]) -> None:
    paths = [files.result_path("", h.release, h.sae_id) for h in handles]
    if len(set(paths)) < len(paths):
        twice = sorted({p.name for p in paths if paths.count(p) > 1})
        raise ResultError(
            f"several SAEs would write the same result file: {', '.join(twice)}. Next: give the SAEs different "
            "names (rename a folder, say), or evaluate them into different output folders."
        )


def _remove_leftovers(plan: RunPlan) -> None:
    """Delete what a killed run was writing."""
    folders = []
    for request in plan.evals:
        folder = plan.eval_folder(request.spec.name)
        failed = files.failure_path(folder, request.spec.name, "", "").parent
        folders += [folder, failed, samples_path(folder, "", "").parent]
    if plan.pass_options.store is not None:
        folders += plan.pass_options.store.folder.glob("*/*")
    for folder in folders:
        remove_partial_files(folder)
