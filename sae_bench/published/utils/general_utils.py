"""dtypes, devices, names and files of SAEs, under their published names."""

from __future__ import annotations

import functools
import logging
import os
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.interface import HALF_PRECISION
from sae_bench.custom_saes.loaders.python_callable import DEFAULT_ID
from sae_bench.custom_saes.spec import LoadContext
from sae_bench.language_models.load import DTYPES
from sae_bench.language_models.numbers import dtype_name
from sae_bench.published.entry_points import select_saes
from sae_bench.published.utils import sae_selection_utils
from sae_bench.results import files

logger = logging.getLogger(__name__)


def str_to_dtype(dtype_str: str) -> torch.dtype:
    """`float32` and the like, in any case. Raises `ValueError` for another name."""
    name = dtype_str.lower()
    if name not in DTYPES:
        raise ValueError(f"'{dtype_str}' is no dtype that models run in; known: {', '.join(DTYPES)}.")
    return DTYPES[name]


def dtype_to_str(dtype: torch.dtype) -> str:
    """`float32` for `torch.float32`."""
    return dtype_name(dtype)


def filter_keywords(
    sae_locations: Sequence[str],
    exclude_keywords: Sequence[str],
    include_keywords: Sequence[str],
    case_sensitive: bool = False,
) -> list[str]:
    """Locations that contain every keyword to include and none to exclude."""

    def shown(text: str) -> str:
        return text if case_sensitive else text.lower()

    return [
        location
        for location in sae_locations
        if all(shown(word) in shown(location) for word in include_keywords)
        and not any(shown(word) in shown(location) for word in exclude_keywords)
    ]


def filter_with_regex(filenames: Sequence[str], regex_list: Sequence[str]) -> list[str]:
    """File names in which at least one of the patterns is found."""
    patterns = [re.compile(pattern) for pattern in regex_list]
    return [name for name in filenames if any(pattern.search(name) for pattern in patterns)]


def setup_environment() -> str:
    """The device that `auto` stands for: `mps`, `cuda` or `cpu`."""
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    device = "mps" if torch.backends.mps.is_available() else "cuda" if torch.cuda.is_available() else "cpu"
    logger.info("using device %s", device)
    return device


@torch.no_grad()
def check_decoder_norms(W_dec: Float[Tensor, "F D"]) -> bool:
    """True if every decoder row has norm 1 within the precision of its dtype. Raises `ValueError` otherwise."""
    tolerance = 1e-2 if W_dec.dtype in HALF_PRECISION else 1e-5  # half precision: norms are off by up to 1/256
    worst = float((W_dec.float().norm(dim=1) - 1).abs().max())
    if worst > tolerance:
        raise ValueError(
            f"decoder rows are no unit vectors: a norm is off by {worst:.3g}, {tolerance:g} is allowed. "
            "Next: sae_bench.custom_saes.fold_decoder_norm(sae)."
        )
    return True


def load_and_format_sae(
    sae_release_or_unique_id: str, sae_object_or_sae_lens_id: Any, device: str
) -> tuple[str, Any, None]:
    """(id, SAE, None) of a pretrained SAE named by release and id, or of an SAE object, whose norms are checked.

    Raises:
        SAEBenchError: no such SAE, or it cannot be loaded.
        ValueError: the decoder rows of the object are no unit vectors.
    """
    if not isinstance(sae_object_or_sae_lens_id, str):
        check_decoder_norms(sae_object_or_sae_lens_id.W_dec.detach())
        return DEFAULT_ID, sae_object_or_sae_lens_id, None
    (handle,) = select_saes(re.escape(sae_release_or_unique_id), re.escape(sae_object_or_sae_lens_id))
    sae = handle.load(LoadContext(device=torch.device(device), dtype=torch.float32))
    return handle.sae_id, sae, None


def get_results_filepath(output_path: str | Path, sae_release: str, sae_id: str) -> str:
    """Where the result of an SAE goes: `<release>_<id>_eval_results.json` with '/' as '_'."""
    return str(files.result_path(output_path, sae_release, sae_id))


def find_gemmascope_average_l0_sae_names(
    layer_num: int, gemmascope_release_name: str = "gemma-scope-2b-pt-res", width_num: str = "16k"
) -> list[str]:
    """Ids of a Gemma Scope release at one layer and width, one per average L0."""
    release = sae_selection_utils.get_pretrained_saes_directory()[gemmascope_release_name]
    pattern = re.compile(rf"layer_{layer_num}/width_{width_num}/average_l0_\d+")
    return [sae_id for sae_id in release.saes_map if pattern.match(sae_id)]


def get_sparsity_penalty(config: Mapping[str, Any]) -> float | int:
    """What sets the sparsity of a dictionary_learning SAE: k, or the weight of its penalty."""
    trainer = config["trainer"]
    names = {"TrainerTopK": "k", "PAnnealTrainer": "sparsity_penalty"}
    return trainer[names.get(trainer["trainer_class"], "l1_penalty")]


def average_results_dictionaries(
    results_dict: Mapping[str, Mapping[str, float]], dataset_names: Sequence[str]
) -> dict[str, float]:
    """Means of every metric over the data sets that have it; the keys of `results_dict` are `<set>_results`."""
    values: dict[str, list[float]] = {}
    for name in dataset_names:
        for metric, value in results_dict[f"{name}_results"].items():
            values.setdefault(metric, []).append(value)
    return {metric: sum(of_metric) / len(of_metric) for metric, of_metric in values.items()}


def retry_with_exponential_backoff(
    retries: int = 5, initial_delay: float = 1.0, max_delay: float = 60.0, exponential_base: float = 2.0,
    jitter: bool = True, exceptions: type[Exception] | tuple[type[Exception], ...] = Exception,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # fmt: skip
    """Decorator: call again after an exception, waiting longer each time (seconds), up to `retries` times."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def retrying(*args: Any, **kwargs: Any) -> Any:
            for attempt in range(retries):
                try:
                    return function(*args, **kwargs)
                except exceptions as error:
                    delay = min(initial_delay * exponential_base**attempt, max_delay)
                    delay *= random.Random().uniform(1.0, 1.1) if jitter else 1.0
                    logger.warning("attempt %d of %d failed (%s), again in %.2f s", attempt + 1, retries, error, delay)
                    time.sleep(delay)
            return function(*args, **kwargs)

        return retrying

    return decorate
