"""Linear probes for letters by minibatches, under their published names; the eval trains all at once.

N samples, D inputs of a probe, C classes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm.auto import tqdm

from sae_bench.atomic import atomic_path, write_text_atomically
from sae_bench.errors import UnknownNameError
from sae_bench.evals.absorption.sparse_probes import f1_scores
from sae_bench.published.absorption_prompting import Formatter, SpellingPrompt, create_icl_prompt
from sae_bench.published.absorption_steps.batches import DEFAULT_DEVICE
from sae_bench.published.absorption_steps.reading import PromptReader
from sae_bench.published.absorption_vocab import LETTERS

LabelledPrompt = tuple[SpellingPrompt, int]
ExtraLoss = Callable[["LinearProbe", Tensor, Tensor], Tensor]
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": torch.optim.Adam, "SGD": torch.optim.SGD, "AdamW": torch.optim.AdamW,
}  # fmt: skip


class LinearProbe(nn.Module):
    """Logits of classes, linear in the input.

    Args:
        input_dim: D.
        num_outputs: C.
    """

    def __init__(self, input_dim: int, num_outputs: int = 1) -> None:
        super().__init__()
        self.fc = nn.Linear(input_dim, num_outputs)

    def forward(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N C"]:
        """Logits."""
        return self.fc(x)

    @property
    def weights(self) -> Float[Tensor, "C D"]:
        """Directions of the classes."""
        return self.fc.weight

    @property
    def biases(self) -> Float[Tensor, " C"]:
        """Logits at zero."""
        return self.fc.bias


def train_multi_probe(
    x_train: Float[Tensor, "N X"], y_train: Tensor, num_probes: int | None = None, batch_size: int = 4096,
    num_epochs: int = 100, lr: float = 0.01, end_lr: float = 1e-5, weight_decay: float = 1e-6,
    show_progress: bool = True, optimizer: str = "Adam", extra_loss_fn: ExtraLoss | None = None,
    verbose: bool = False, device: torch.device = DEFAULT_DEVICE,
    map_acts: Callable[[Tensor], Tensor] | None = None, probe_dim: int | None = None,
) -> LinearProbe:  # fmt: skip
    """Train one probe per class against all others; initialisation and batches come from torch's own generator.

    Args:
        x_train: inputs, (N, X).
        y_train: 0 or 1, (N, C).
        num_probes: C; None takes it from `y_train`.
        lr, end_lr: learning rate of the first epoch, and the one that it approaches.
        optimizer: `Adam`, `SGD` or `AdamW`.
        extra_loss_fn: from probe, inputs and labels of a batch to what is added to its loss.
        verbose: accepted as published; progress bars say the same.
        map_acts: from the rows of a batch to the inputs of the probe.
        probe_dim: D, where `map_acts` changes it.
    Raises:
        UnknownNameError: there is no such optimizer.
    """
    del verbose
    if optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    loader = DataLoader(TensorDataset(x_train, y_train.to(x_train.dtype)), batch_size=batch_size, shuffle=True)
    probe = LinearProbe(probe_dim or x_train.shape[-1], num_probes or y_train.shape[-1]).to(device, x_train.dtype)
    steps = OPTIMIZERS[optimizer](probe.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = _get_exponential_decay_scheduler(steps, lr, end_lr, num_epochs)
    loss_of = nn.BCEWithLogitsLoss(pos_weight=_calc_pos_weights(y_train).to(device))
    with torch.enable_grad():
        for _ in tqdm(range(num_epochs), desc="probe", disable=not show_progress):
            for rows, labels in loader:
                inputs = (rows if map_acts is None else map_acts(rows)).to(device)
                labels = labels.to(device)
                loss = loss_of(probe(inputs), labels)
                if extra_loss_fn is not None:
                    loss = loss + extra_loss_fn(probe, inputs, labels)
                steps.zero_grad()
                loss.backward()
                steps.step()
            schedule.step()
    return probe.eval()


def train_binary_probe(
    x_train: Float[Tensor, "N D"], y_train: Tensor, batch_size: int = 256, num_epochs: int = 100, lr: float = 0.01,
    end_lr: float = 1e-5, weight_decay: float = 1e-6, show_progress: bool = True, optimizer: str = "Adam",
    extra_loss_fn: ExtraLoss | None = None, verbose: bool = False, device: torch.device = DEFAULT_DEVICE,
) -> LinearProbe:  # fmt: skip
    """`train_multi_probe` for one class: `y_train` is (N,)."""
    return train_multi_probe(
        x_train, y_train[:, None], 1, batch_size, num_epochs, lr, end_lr, weight_decay, show_progress, optimizer,
        extra_loss_fn, verbose, device,
    )  # fmt: skip


def _calc_pos_weights(y: Tensor) -> Float[Tensor, " C"]:
    """Samples of the others for every sample of a class."""
    positives_C = y.sum(dim=0)
    return (len(y) - positives_C) / positives_C


def _get_exponential_decay_scheduler(
    optimizer: torch.optim.Optimizer, start_lr: float, end_lr: float, num_steps: int
) -> torch.optim.lr_scheduler.ExponentialLR:
    """A schedule that reaches `end_lr` after `num_steps` steps."""
    return torch.optim.lr_scheduler.ExponentialLR(optimizer, (end_lr / start_lr) ** (1 / num_steps))


# ---- data


def _place_in_alphabet(answer: str) -> int:
    return LETTERS.index(answer.strip().lower())


def create_dataset_probe_training(
    vocab: Sequence[str], formatter: Formatter, num_prompts_per_token: int, base_template: str,
    max_icl_examples: int = 10, train_test_fraction: float = 0.8,
    answer_class_fn: Callable[[str], int] = _place_in_alphabet, prepend_separator_to_first_example: bool = True,
) -> tuple[list[LabelledPrompt], list[LabelledPrompt]]:  # fmt: skip
    """Prompts about the words of a vocabulary with their classes, training and test words apart.

    Args:
        vocab: words, drawn from Python's own generator.
        formatter: from a word to its answer.
        num_prompts_per_token: prompts of each word.
        train_test_fraction: share of the words to train on. Examples of a prompt come from its own side.
        answer_class_fn: from an answer to its class.
        base_template, max_icl_examples, prepend_separator_to_first_example: as in `create_icl_prompt`.
    """
    words = random.sample(vocab, len(vocab))
    n_train = int(len(words) * train_test_fraction)

    def prompts_of(side: Sequence[str]) -> list[LabelledPrompt]:
        prompts = [
            create_icl_prompt(
                word, side, base_template, answer_formatter=formatter, max_icl_examples=max_icl_examples,
                prepend_separator_to_first_example=prepend_separator_to_first_example,
            )
            for word in side for _ in range(num_prompts_per_token)
        ]  # fmt: skip
        return [(prompt, answer_class_fn(prompt.answer)) for prompt in prompts]

    return prompts_of(words[:n_train]), prompts_of(words[n_train:])


def gen_and_save_df_acts_probing(
    model: Any, train_dataset: Sequence[LabelledPrompt], test_dataset: Sequence[LabelledPrompt], path: str | Path,
    hook_point: str, batch_size: int = 64, position_idx: int = -2,
) -> tuple[pd.DataFrame, pd.DataFrame, np.memmap, np.memmap]:  # fmt: skip
    """Read the activations of both sides and keep them: `{train,test}_df.csv`, `{train,test}_act_tensor.dat`.

    Args:
        model: see `PromptReader`.
        path: the folder.
        hook_point: the hook that is read.
        batch_size: prompts at once.
        position_idx: the token that is read.
    Returns:
        tables of training and test prompts, and their activations (N, D) as float32 on disk.
    """
    reader, folder = PromptReader(model), Path(path)
    folder.mkdir(parents=True, exist_ok=True)

    def saved(side: str, dataset: Sequence[LabelledPrompt]) -> tuple[pd.DataFrame, np.memmap]:
        columns = {
            "prompt": [prompt.base for prompt, _ in dataset],
            "HOOK_POINT": hook_point,
            "answer": [prompt.answer for prompt, _ in dataset],
            "answer_class": [label for _, label in dataset],
            "token": [prompt.word for prompt, _ in dataset],
        }
        table = pd.DataFrame(columns).rename_axis("index")
        shape = (len(dataset), reader.d_model)
        on_disk = np.memmap(folder / f"{side}_act_tensor.dat", dtype="float32", mode="w+", shape=shape)
        on_disk[:] = reader.read(columns["prompt"], hook_point, position_idx, batch_size).float().cpu().numpy()  # type: ignore[arg-type]
        on_disk.flush()
        write_text_atomically(folder / f"{side}_df.csv", table.to_csv())
        return table, on_disk

    (train_df, train), (test_df, test) = saved("train", train_dataset), saved("test", test_dataset)
    return train_df, test_df, train, test


def train_linear_probe_for_task(
    train_df: pd.DataFrame, test_df: pd.DataFrame, device: torch.device, train_activations: np.ndarray,
    test_activations: np.ndarray, num_classes: int = 26, batch_size: int = 4096, num_epochs: int = 50,
    lr: float = 1e-2, weight_decay: float = 1e-4,
) -> tuple[LinearProbe, dict[str, Tensor]]:  # fmt: skip
    """A probe for the classes of a table's column `answer_class`, and the tensors that it was made of.

    Args:
        train_activations, test_activations: (N, D).
        num_classes: C.
        batch_size, num_epochs, lr, weight_decay: as in `train_multi_probe`.
    Returns:
        the probe, and `X_train`, `X_test`, `y_train`, `y_test` on the device.
    """
    data: dict[str, Tensor] = {}
    for side, table, activations in (("train", train_df, train_activations), ("test", test_df, test_activations)):
        data[f"X_{side}"] = torch.tensor(np.asarray(activations), dtype=torch.float32, device=device)
        data[f"y_{side}"] = torch.tensor(table["answer_class"].to_numpy(), dtype=torch.long, device=device)
    labels_NC = nn.functional.one_hot(data["y_train"], num_classes)
    probe = train_multi_probe(
        data["X_train"], labels_NC, num_classes, batch_size, num_epochs, lr, weight_decay=weight_decay, device=device
    )
    return probe, data


def save_probe_and_data(probe: LinearProbe, probe_data: dict[str, Tensor], probing_path: str | Path) -> None:
    """Write `probe.pth`, weights alone, and `data.npz` into a folder."""
    folder = Path(probing_path)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "probe.pth") as partial:
        torch.save({name: weight.detach().cpu() for name, weight in probe.state_dict().items()}, partial)
    arrays: dict[str, Any] = {name: tensor.detach().cpu().numpy() for name, tensor in probe_data.items()}
    with atomic_path(folder / "data.npz") as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


# ---- quality


@dataclass
class ProbeStats:
    """How well one letter is told from the others."""

    letter: str
    f1: float
    """0 where it is not defined, as precision and recall."""
    accuracy: float
    precision: float
    recall: float


@torch.no_grad()
def gen_probe_stats(
    probe: LinearProbe, X_val: Float[Tensor, "N D"], y_val: Int[Tensor, " N"], threshold: float = 0.5,
    device: torch.device = DEFAULT_DEVICE,
) -> list[ProbeStats]:  # fmt: skip
    """Quality of a probe on each letter.

    Args:
        X_val, y_val: activations and letters.
        threshold: of the logit.
    """
    predicted_CN = (probe(X_val.to(device)) > threshold).T[: len(LETTERS)].cpu()
    truth_CN = y_val.cpu() == torch.arange(len(LETTERS))[:, None]
    quality = f1_scores(predicted_CN, truth_CN)
    accuracy_C = (predicted_CN == truth_CN).double().mean(dim=1)
    rows = zip(*(x_C.tolist() for x_C in (quality.f1, accuracy_C, quality.precision, quality.recall)), strict=True)
    return [ProbeStats(letter, *row) for letter, row in zip(LETTERS, rows, strict=True)]
