"""What the steps keep on disk: letter probes with their data, and tables.

The probe of a layer lies in `<probes_dir>/<model>/layer_<layer>`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.atomic import atomic_path
from sae_bench.custom_saes.files import read_torch
from sae_bench.published.absorption_prompting import Formatter, first_letter_formatter
from sae_bench.published.absorption_steps.batches import DEFAULT_DEVICE as DEVICE
from sae_bench.published.absorption_steps.probing import (
    LinearProbe,
    create_dataset_probe_training,
    gen_and_save_df_acts_probing,
    save_probe_and_data,
    train_linear_probe_for_task,
)
from sae_bench.published.absorption_steps.reading import PromptReader, layer_hook
from sae_bench.published.absorption_vocab import LETTERS, get_alpha_tokens

logger = logging.getLogger(__name__)

DEFAULT_DEVICE = str(DEVICE)
DEFAULT_DTYPE = torch.bfloat16 if DEFAULT_DEVICE == "cuda" else torch.float32
RESULTS_DIR = Path("artifacts") / "absorption"
PROBES_DIR = RESULTS_DIR / "probes"

LabelledTokens = list[tuple[str, int]]
"""Tokens as text with their letters, as places in the alphabet."""


def dtype_to_str(dtype: torch.dtype | str) -> str:
    """`torch.float32` -> `float32`."""
    return str(dtype).removeprefix("torch.")


# ---- probes


def train_and_save_probes(
    model: Any, layers: Sequence[int], base_template: str, pos_idx: int, probes_dir: str | Path = PROBES_DIR,
    batch_size: int = 64, num_epochs: int = 50, lr: float = 1e-2, device: str = DEFAULT_DEVICE,
) -> None:  # fmt: skip
    """Train the letter probes of layers on all words of the model's vocabulary.

    Args:
        model: see `PromptReader`.
        base_template, pos_idx: a line about a word, and the token of the prompt that is read.
    """
    vocab = get_alpha_tokens(PromptReader(model).tokenizer)
    for layer in layers:
        create_and_train_probe(
            model, first_letter_formatter(), layer_hook(layer), probes_dir, vocab, batch_size, num_epochs, lr,
            torch.device(device), base_template, pos_idx,
        )  # fmt: skip


def create_and_train_probe(
    model: Any, formatter: Formatter, hook_point: str, probes_dir: str | Path, vocab: Sequence[str],
    batch_size: int, num_epochs: int, lr: float, device: torch.device, base_template: str, pos_idx: int,
    num_prompts_per_token: int = 1,
) -> None:  # fmt: skip
    """Make prompts of words, read them, train a letter probe and keep all of it.

    Args:
        formatter, vocab, base_template, num_prompts_per_token: as in `create_dataset_probe_training`.
        hook_point: `blocks.<layer>.<..>`.
        pos_idx: the token of a prompt that is read.
        batch_size: prompts, and samples of a training step.
    """
    folder = _folder(probes_dir, PromptReader(model).name, int(hook_point.split(".")[1]))
    train, test = create_dataset_probe_training(vocab, formatter, num_prompts_per_token, base_template)
    train_df, test_df, x_train, x_test = gen_and_save_df_acts_probing(
        model, train, test, folder, hook_point, batch_size, pos_idx
    )
    probe, data = train_linear_probe_for_task(
        train_df, test_df, device, x_train, x_test, len(LETTERS), batch_size, num_epochs, lr
    )
    save_probe_and_data(probe, data, folder)


def load_probe(
    model_name: str | None, layer: int = 0, probes_dir: str | Path = PROBES_DIR, dtype: torch.dtype = DEFAULT_DTYPE,
    device: str = DEFAULT_DEVICE,
) -> LinearProbe:  # fmt: skip
    """The letter probe of a layer. Raises `SAEBenchError` where the file holds more than weights."""
    weights = read_torch(_folder(probes_dir, str(model_name), layer) / "probe.pth")
    n_classes, width = weights["fc.weight"].shape
    probe = LinearProbe(width, n_classes)
    probe.load_state_dict(weights)
    return probe.to(device, dtype)


def load_or_train_probe(
    model: Any, base_template: str, pos_idx: int, layer: int = 0, probes_dir: str | Path = PROBES_DIR,
    dtype: torch.dtype = DEFAULT_DTYPE, device: str = DEFAULT_DEVICE,
) -> LinearProbe:  # fmt: skip
    """`load_probe`, after `train_and_save_probes` where there is none."""
    _train_missing(model, base_template, pos_idx, layer, probes_dir, device)
    return load_probe(PromptReader(model).name, layer, probes_dir, dtype, device)


def load_probe_data_split(
    model: Any, layer: int = 0, split: str = "test", probes_dir: str | Path = PROBES_DIR,
    dtype: torch.dtype = DEFAULT_DTYPE, device: str = DEFAULT_DEVICE,
) -> tuple[Float[Tensor, "N D"], LabelledTokens]:  # fmt: skip
    """Activations of the words of a split (`train` or `test`), and the words with their letters."""
    reader = PromptReader(model)
    folder = _folder(probes_dir, reader.name, layer)
    with np.load(folder / "data.npz") as arrays:
        x_ND, labels = torch.from_numpy(arrays[f"X_{split}"]), arrays[f"y_{split}"].tolist()
    table = pd.read_csv(folder / f"{split}_df.csv", keep_default_na=False, na_values=[""])  # "NA" is a word
    return _parse_probe_data_split(reader.tokenizer, x_ND.to(device, dtype), labels, table)


def load_probe_data_split_or_train(
    model: Any, base_template: str, pos_idx: int, layer: int = 0, split: str = "test",
    probes_dir: str | Path = PROBES_DIR, dtype: torch.dtype = DEFAULT_DTYPE, device: str = DEFAULT_DEVICE,
) -> tuple[Float[Tensor, "N D"], LabelledTokens]:  # fmt: skip
    """`load_probe_data_split`, after `train_and_save_probes` where there is none."""
    _train_missing(model, base_template, pos_idx, layer, probes_dir, device)
    return load_probe_data_split(model, layer, split, probes_dir, dtype, device)


def _parse_probe_data_split(
    tokenizer: Any, split_activations: Float[Tensor, "N D"], split_labels: Sequence[int], df: pd.DataFrame
) -> tuple[Float[Tensor, "K D"], LabelledTokens]:
    """K tokens as text; rows that hold none, or one that is written as a byte, are left out."""
    tokens = df["token"].tolist()
    rows = [row for row in range(len(split_labels)) if _is_text(tokens[row])]
    words = [(tokenizer.convert_tokens_to_string([tokens[row]]), split_labels[row]) for row in rows]
    return split_activations[rows], words


def _is_text(token: object) -> bool:
    return isinstance(token, str) and re.match(r"[0-9<>]", token) is None


def _train_missing(
    model: Any, base_template: str, pos_idx: int, layer: int, probes_dir: str | Path, device: str
) -> None:
    if not (_folder(probes_dir, PromptReader(model).name, layer) / "probe.pth").exists():
        logger.info("no letter probe of layer %d in %s; it is trained", layer, probes_dir)
        train_and_save_probes(model, [layer], base_template, pos_idx, probes_dir, device=device)


def _folder(probes_dir: str | Path, model_name: str, layer: int) -> Path:
    return Path(probes_dir) / model_name / f"layer_{layer}"


# ---- tables


def get_or_make_dir(experiment_dir: str | Path) -> Path:
    """A folder that is there afterwards."""
    folder = Path(experiment_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load_experiment_df(experiment_name: str, path: Path) -> pd.DataFrame:
    """The table of a step. Raises `FileNotFoundError` if that did not run."""
    if not path.exists():
        raise FileNotFoundError(f"there is no '{path}'. Next: run the step {experiment_name}.")
    return pd.read_parquet(path)


def load_df_or_run(fn: Callable[[], pd.DataFrame], path: Path, force: bool = False) -> pd.DataFrame:
    """`load_dfs_or_run` for one table."""
    return load_dfs_or_run(lambda: [fn()], [path], force)[0]


def load_dfs_or_run(
    fn: Callable[[], Iterable[pd.DataFrame]], paths: Iterable[Path], force: bool = False
) -> list[pd.DataFrame]:
    """The tables in these files; where one is missing (or always, with `force`), `fn` makes them first."""
    files = list(paths)
    if not force and all(file.exists() for file in files):
        return [pd.read_parquet(file) for file in files]
    tables = list(fn())
    for table, file in zip(tables, files, strict=True):
        with atomic_path(get_or_make_dir(file.parent) / file.name) as partial:
            table.to_parquet(partial, index=False)
    return tables
