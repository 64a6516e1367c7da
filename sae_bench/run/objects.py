"""Models and SAEs that a caller holds as objects, in place of names."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sae_bench.custom_saes import fingerprint
from sae_bench.custom_saes.interface import dtype_if_fixed
from sae_bench.custom_saes.loaders.python_callable import DEFAULT_ID
from sae_bench.custom_saes.sae_lens_adapter import SAELensAdapter
from sae_bench.custom_saes.spec import LoadContext, SAEHandle, check_shapes
from sae_bench.errors import UnknownNameError, UsageError
from sae_bench.language_models import LanguageModel, resolve_device
from sae_bench.language_models.load import DTYPES
from sae_bench.run.planning import load_context, place_baselines, resolve_saes

GivenModel = LanguageModel | str | tuple[Any, Any]
"""A model's name, a model of this package, or a transformers model with its tokenizer."""

GivenSAE = str | SAEHandle | tuple[str, Any]
"""An SAE spec, a handle, or (name, SAE object)."""


def handles_of(saes: GivenSAE | Mapping[str, Any] | Sequence[GivenSAE]) -> tuple[SAEHandle | str, ...]:
    """Specs and handles for SAEs in any of the forms that are taken.

    Args:
        saes: one SAE, a list of them, or name -> SAE object. A name `release:id` keeps both parts.
    Raises:
        UsageError: something else was given, such as an object without a name.
        SAELoadError: an object is no SAE.
    """
    if isinstance(saes, Mapping):
        return tuple(object_handle(name, sae) for name, sae in saes.items())
    if isinstance(saes, str | SAEHandle):
        return (saes,)
    if not isinstance(saes, Sequence):
        raise UsageError(f"an SAE object needs a name: saes={{'my_sae': {type(saes).__name__}(..)}}.")
    handles: list[SAEHandle | str] = []
    for sae in saes:
        if isinstance(sae, str | SAEHandle):
            handles.append(sae)
        elif isinstance(sae, tuple) and len(sae) == 2 and isinstance(sae[0], str):
            handles.append(object_handle(*sae))
        else:
            raise UsageError(f"'{type(sae).__name__}' is no SAE spec; an SAE object needs a name: ('my_sae', sae).")
    return tuple(handles)


def object_handle(name: str, sae: Any) -> SAEHandle:
    """A handle for an SAE that the caller holds; loading copies it where it would have to be changed.

    Args:
        name: `release:id`, or a name that stands for the release.
    Raises:
        SAELoadError: the object is no SAE.
    """
    if type(sae).__module__.split(".")[0] == "sae_lens":
        sae = SAELensAdapter(sae)
    check_shapes(sae, name)

    def load(context: LoadContext) -> Any:
        if not context.cast_afterwards and _is_usable_as_it_is(sae, context):
            return sae
        own = copy.deepcopy(sae)
        move = getattr(own, "to", None)
        moved = None if move is None else move(device=context.device, dtype=context.dtype)
        return own if moved is None else moved

    release, _, sae_id = name.partition(":")
    hook_name, model_name = sae.cfg.hook_name, getattr(sae.cfg, "model_name", None)
    return SAEHandle(
        release,
        sae_id or DEFAULT_ID,
        hook_name or None,
        model_name or None,
        load,
        lambda _context: fingerprint.of_weights(sae),
        dtype_if_fixed(sae),
    )


def load_saes(
    specs: str | Sequence[str],
    *,
    model: LanguageModel | None = None,
    device: str = "auto",
    dtype: str = "float32",
    hook: str | None = None,
    data_dir: str | Path | None = None,
) -> dict[str, Any]:
    """`release:id` -> SAE for all SAEs that the specs name, as `evaluate` takes them.

    Args:
        model: what baselines take their width and place from.
        device: where the SAEs are put; `auto` is the model's device.
        dtype: of their weights, such as `bfloat16`.
        hook: where SAEs without a hook of their own sit.
        data_dir: a mirror whose `<org>/<name>` folders go before the hub.
    Raises:
        SAEBenchError: a spec is wrong, or an SAE cannot be loaded.
    """
    mirror = None if data_dir is None else Path(data_dir)
    target = model.device if model is not None and device == "auto" else resolve_device(device)
    if dtype not in DTYPES:
        raise UnknownNameError("dtype", dtype, DTYPES)
    context = LoadContext(target, DTYPES[dtype], lm=model, hook_name=hook, data_dir=mirror)
    if model is not None:
        of_run = load_context(model, hook=hook, data_dir=mirror)
        context = replace(of_run, device=target, dtype=DTYPES[dtype])
    names = (specs,) if isinstance(specs, str) else tuple(specs)
    handles = place_baselines(resolve_saes(names, data_dir=mirror), hook)
    return {f"{handle.release}:{handle.sae_id}": handle.load(context) for handle in handles}


@torch.no_grad()
def _is_usable_as_it_is(sae: Any, context: LoadContext) -> bool:
    """Whether neither moving, casting nor folding decoder norms would change it."""
    W_dec_FD = sae.W_dec
    if W_dec_FD.device != context.device or W_dec_FD.dtype != context.dtype:
        return False
    return bool(((W_dec_FD.float().norm(dim=1) - 1).abs() <= 1e-6).all())


class HeldModel:
    """The model that a process used last, kept for the case that it is wanted again."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._lm: LanguageModel | None = None

    def take(self, key: Hashable, load: Callable[[], LanguageModel]) -> LanguageModel:
        """The model of a key; another that was held is let go before `load` makes it."""
        if self._lm is None or key != self._key:
            self._key = self._lm = None
            self._lm = load()
            self._key = key
        return self._lm


@contextmanager
def borrowed(given: GivenModel) -> Iterator[LanguageModel | str]:
    """A model as the run takes it; a transformers model is given back in the mode in which it came.

    Raises:
        UsageError: it is none of the forms that are taken.
    """
    if isinstance(given, str | LanguageModel):
        yield given
        return
    if not isinstance(given, tuple) or len(given) != 2 or not isinstance(given[0], torch.nn.Module):
        raise UsageError(
            f"'{type(given).__name__}' is no model. Allowed: a name, a LanguageModel, or (model, tokenizer) of "
            "transformers."
        )
    model, tokenizer = given
    with given_back(model):
        yield LanguageModel(model, tokenizer, name=getattr(model.config, "_name_or_path", "") or type(model).__name__)


@contextmanager
def given_back(model: torch.nn.Module) -> Iterator[None]:
    """Afterwards every module is in the training mode in which it came, and every weight as trainable as it was."""
    modes = [(module, module.training) for module in model.modules()]
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for weight in trained:
            weight.requires_grad_(True)
