"""The mathematics of sparse probing, from pooled activations and pooled codes to accuracies.

For every (data set, class, seed) the texts of a one-vs-rest probe are drawn once, by a generator of that name. The
same draw serves the residual stream, every SAE and every k, so that differences between them are paired.

`prepare_dataset` computes what no SAE changes (draws, accuracies of the residual stream); `score_sae` adds an SAE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.custom_saes.codes import is_wide
from sae_bench.errors import UsageError
from sae_bench.evals.families.labelled import PooledDataset, one_vs_rest
from sae_bench.evals.sparse_probing.eval_config import SparseProbingEvalConfig
from sae_bench.evals.sparse_probing.eval_output import (
    EVAL_TYPE_ID_SPARSE_PROBING,
    Source,
    all_features_key,
    top_k_key,
)
from sae_bench.probes import (
    AdamWProbes,
    AdamWSettings,
    DenseFeatures,
    FeatureMatrix,
    ProbeProblem,
    fit_logistic,
    fit_mean_direction,
    train_adamw_probes,
)
from sae_bench.seeding import named_generator

MEAN_DIRECTION_KEY = "mean_direction_test_accuracy"
DENSE_BYTES = 2 << 30
"""Codes up to this size are made dense once before the probe on all latents reads them batch by batch."""


@dataclass(frozen=True)
class Draw:
    """The texts of one probe: rows of the pooled matrices and labels, 1 for the class and 0 for the others."""

    class_name: str
    seed: int
    train_rows: Tensor
    train_labels: Tensor
    test_rows: Tensor
    test_labels: Tensor


AccuracyTable = dict[str, dict[int, dict[str, float]]]
"""Field name -> seed -> class -> test accuracy."""


@dataclass(frozen=True)
class Accuracies:
    """Accuracies on one data set, and which fields could not be computed, and why."""

    dataset_name: str
    table: AccuracyTable
    not_computed: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    correct: dict[str, tuple[Tensor, ...]] = field(default_factory=dict, repr=False, compare=False)
    """Field name -> for each draw, which of its test texts the probe got right."""

    def joined(self, other: Accuracies) -> Accuracies:
        """These and the fields of `other`, for the same data set."""
        return Accuracies(
            self.dataset_name,
            {**self.table, **other.table},
            {**self.not_computed, **other.not_computed},
            (*self.warnings, *other.warnings),
            {**self.correct, **other.correct},
        )

    def per_class(self) -> dict[str, dict[str, float]]:
        """Field name -> class -> accuracy, averaged over seeds."""
        return {
            key: {name: fmean(by_class[name] for by_class in by_seed.values()) for name in next(iter(by_seed.values()))}
            for key, by_seed in self.table.items()
        }

    def means(self, seed: int) -> dict[str, float]:
        """Field name -> accuracy of one seed, averaged over classes."""
        return {key: fmean(by_seed[seed].values()) for key, by_seed in self.table.items()}

    def seeds(self) -> list[int]:
        """The seeds that were run."""
        return list(next(iter(self.table.values()))) if self.table else []


@dataclass(frozen=True)
class PreparedDataset:
    """What all SAEs share on one data set.

    Attributes:
        llm: accuracies of the residual stream.
        mean_direction: accuracy of the difference of class means in the residual stream, a probe without training.
    """

    dataset: PooledDataset
    draws: tuple[Draw, ...]
    llm: Accuracies
    mean_direction: Accuracies


def prepare_dataset(
    dataset: PooledDataset,
    activations_TD: Float[Tensor, "T D"],
    config: SparseProbingEvalConfig,
    *,
    seeds: Sequence[int],
    device: torch.device | None = None,
) -> PreparedDataset:
    """Draw the probes' texts and score the residual stream on them.

    Args:
        activations_TD: the mean activation of each text.
        seeds: one set of draws and probes each.
        device: where the probe on all channels is trained; by default where the activations are.
    Raises:
        DatasetError: fewer than two classes, or too few texts.
        UsageError: no or repeated seeds, or activations that are not finite.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(f"seeds must be one or more and differ, got {list(seeds)}.")
    draws = tuple(draw_texts(dataset, name, seed) for seed in seeds for name in dataset.classes)
    features = DenseFeatures(activations_TD)
    llm = _score(dataset.name, "llm", features, draws, config, device)
    return PreparedDataset(dataset, draws, llm, _mean_direction_accuracies(dataset.name, features, draws))


def score_sae(
    prepared: PreparedDataset,
    codes: FeatureMatrix,
    config: SparseProbingEvalConfig,
    *,
    device: torch.device | None = None,
) -> Accuracies:
    """Accuracies of one SAE on the draws that the residual stream was scored on.

    Args:
        codes: (T, F) mean code of each text, rows as in the activations given to `prepare_dataset`.
        device: where the probe on all latents is trained; by default where the codes are.
    Raises:
        UsageError: codes that are not finite.
    """
    return _score(prepared.dataset.name, "sae", codes, prepared.draws, config, device)


def draw_texts(dataset: PooledDataset, class_name: str, seed: int) -> Draw:
    """The balanced one-vs-rest texts of one class: all of its texts, and as many drawn from the other classes."""
    generator = named_generator(EVAL_TYPE_ID_SPARSE_PROBING, dataset.name, class_name, seed, "texts")
    train = one_vs_rest(dataset, "training", dataset.train_rows, class_name, generator)
    test = one_vs_rest(dataset, "test", dataset.test_rows, class_name, generator)
    return Draw(class_name, seed, *train, *test)


def top_features(features: FeatureMatrix, draw: Draw, k: int) -> Int[Tensor, " K"]:
    """The k features whose means differ most between class and rest on the training texts, the largest first.

    Means are float64; of features that tie, the one with the lower index comes first.
    """
    means = [features.mean(draw.train_rows[draw.train_labels == label]) for label in (1, 0)]
    difference_F = (means[0] - means[1]).abs()
    _check_finite(difference_F)
    return torch.sort(difference_F, descending=True, stable=True).indices[:k].cpu()


def _score(
    dataset_name: str,
    source: Source,
    features: FeatureMatrix,
    draws: Sequence[Draw],
    config: SparseProbingEvalConfig,
    device: torch.device | None,
) -> Accuracies:
    """Accuracies of the sparse probes and, unless it is left out, of the probe on all features."""
    sparse = _sparse_accuracies(dataset_name, source, features, draws, config.k_values)
    key = all_features_key(source)
    if source == "sae" and not config.wants_all_latents_probe:
        setting = "lower_vram_usage is set" if config.lower_vram_usage else "compute_all_latents_probe is off"
        return Accuracies(dataset_name, {}, {key: f"left out: {setting}."}).joined(sparse)
    problems = _all_features_problems(dataset_name, source, draws)
    settings = AdamWSettings(selection=config.probe_selection)
    features = _dense_if_small(features, device)
    probes = train_adamw_probes(features, problems, settings=settings, device=device)
    return Accuracies(
        dataset_name,
        {key: _by_seed(draws, probes.test_accuracy_P)},
        correct={key: _correct_of_probes(features, probes, draws, device)},
    ).joined(sparse)


def _correct_of_probes(
    features: FeatureMatrix, probes: AdamWProbes, draws: Sequence[Draw], device: torch.device | None
) -> tuple[Tensor, ...]:
    """Of each draw, which test texts its probe gets right."""
    correct = []
    for draw, weights_F, bias in zip(draws, probes.weights_PF, probes.bias_P, strict=True):
        x_NF = features.rows(draw.test_rows)
        x_NF = x_NF.to(device=device or x_NF.device, dtype=torch.float32)
        decision_N = x_NF @ weights_F.to(x_NF.device) + bias.to(x_NF.device)
        correct.append((decision_N > 0).cpu() == (draw.test_labels > 0))
    return tuple(correct)


def _mean_direction_accuracies(dataset_name: str, features: FeatureMatrix, draws: Sequence[Draw]) -> Accuracies:
    correct = []
    for draw in draws:
        probe = fit_mean_direction(features.rows(draw.train_rows), draw.train_labels)
        decision_N = probe.decision(features.rows(draw.test_rows))
        correct.append((decision_N > 0).cpu() == (draw.test_labels > 0))
    accuracy_P = torch.stack([correct_N.double().mean() for correct_N in correct])
    table = {MEAN_DIRECTION_KEY: _by_seed(draws, accuracy_P)}
    return Accuracies(dataset_name, table, correct={MEAN_DIRECTION_KEY: tuple(correct)})


def _all_features_problems(dataset_name: str, source: Source, draws: Sequence[Draw]) -> list[ProbeProblem]:
    """The draws as problems of the published AdamW recipe; all SAEs share the names, hence the order of the batches."""
    return [
        ProbeProblem(
            name=(EVAL_TYPE_ID_SPARSE_PROBING, dataset_name, draw.class_name, draw.seed, source, "all features"),
            train_rows=draw.train_rows,
            train_labels=draw.train_labels,
            test_rows=draw.test_rows,
            test_labels=draw.test_labels,
        )
        for draw in draws
    ]


def _dense_if_small(features: FeatureMatrix, device: torch.device | None) -> FeatureMatrix:
    """The features as one dense matrix on `device`, unless they are too large for that."""
    n_texts, n_features = features.shape
    if n_texts * n_features * 4 > DENSE_BYTES or is_wide(n_features):
        return features
    dense_TF = features.x_TF if isinstance(features, DenseFeatures) else features.rows(torch.arange(n_texts))
    return DenseFeatures(dense_TF.to(device) if device is not None else dense_TF)


def _sparse_accuracies(
    dataset_name: str, source: Source, features: FeatureMatrix, draws: Sequence[Draw], k_values: Sequence[int]
) -> Accuracies:
    """Logistic regression on the top k features, all classes and seeds of one k in one batch."""
    n_features = features.shape[1]
    possible = [k for k in k_values if k <= n_features]
    not_computed = {
        top_k_key(source, k): f"k = {k} is more than the {n_features} features there are."
        for k in k_values
        if k > n_features
    }
    if not possible:
        return Accuracies(dataset_name, {}, not_computed)
    top_PK = [top_features(features, draw, max(possible)) for draw in draws]
    train = [features.columns(draw.train_rows, top_K) for draw, top_K in zip(draws, top_PK, strict=True)]
    test = [features.columns(draw.test_rows, top_K) for draw, top_K in zip(draws, top_PK, strict=True)]
    train_PNK, train_labels_PN, train_mask_PN = _padded(train, [draw.train_labels for draw in draws])
    test_PNK, test_labels_PN, test_mask_PN = _padded(test, [draw.test_labels for draw in draws])
    _check_finite(test_PNK)
    table: AccuracyTable = {}
    correct: dict[str, tuple[Tensor, ...]] = {}
    warnings: list[str] = []
    for k in possible:
        fit = fit_logistic(train_PNK[:, :, :k], train_labels_PN, train_mask_PN)
        accuracy_P = fit.accuracy(test_PNK[:, :, :k], test_labels_PN, test_mask_PN)
        table[top_k_key(source, k)] = _by_seed(draws, accuracy_P)
        correct_PN = (fit.decision(test_PNK[:, :, :k]) > 0).cpu() == (test_labels_PN > 0).cpu()
        correct[top_k_key(source, k)] = tuple(
            row_N[: len(draw.test_rows)].clone() for row_N, draw in zip(correct_PN, draws, strict=True)
        )
        unfinished = int((~fit.converged_P).sum())
        if unfinished:
            warnings.append(
                f"{dataset_name}: {unfinished} of {len(draws)} {source} probes did not converge at k = {k}."
            )
    return Accuracies(dataset_name, table, not_computed, tuple(warnings), correct)


def _check_finite(values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        raise UsageError("pooled features are NaN or infinite; check the activations and the weights of the SAE.")


def _padded(
    xs: Sequence[Float[Tensor, "_ K"]], labels: Sequence[Int[Tensor, "_"]]
) -> tuple[Float[Tensor, "P N K"], Int[Tensor, "P N"], Bool[Tensor, "P N"]]:
    """Problems of different length in one batch, zeros at the end of the shorter ones, and which samples are real."""
    x_PNK = torch.nn.utils.rnn.pad_sequence(list(xs), batch_first=True)
    labels_PN = torch.nn.utils.rnn.pad_sequence(list(labels), batch_first=True)
    lengths_P1 = torch.tensor([len(label) for label in labels])[:, None]
    mask_PN = torch.arange(x_PNK.shape[1])[None, :] < lengths_P1
    return x_PNK, labels_PN.to(x_PNK.device), mask_PN.to(x_PNK.device)


def _by_seed(draws: Sequence[Draw], accuracy_P: Tensor) -> dict[int, dict[str, float]]:
    by_seed: dict[int, dict[str, float]] = {}
    for draw, accuracy in zip(draws, accuracy_P.tolist(), strict=True):
        by_seed.setdefault(draw.seed, {})[draw.class_name] = accuracy
    return by_seed


# ---- averages


def seed_metrics(results: Sequence[Accuracies]) -> dict[int, dict[str, float]]:
    """Seed -> field name -> accuracy, averaged over classes and then over data sets.

    A field that some data set lacks (k above its number of features) has no average and is left out.
    """
    if not results:
        return {}
    shared = [key for key in results[0].table if all(key in result.table for result in results)]
    per_seed: dict[int, dict[str, float]] = {}
    for seed in results[0].seeds():
        means = [result.means(seed) for result in results]
        per_seed[seed] = {key: fmean(mean[key] for mean in means) for key in shared}
    return per_seed


def mean_over_seeds(per_seed: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Field name -> mean over seeds: the published fields."""
    first = next(iter(per_seed.values()), {})
    return {key: fmean(values[key] for values in per_seed.values()) for key in first}


def detail_row(result: Accuracies) -> dict[str, str | float]:
    """A row of the details: the data set, and field name -> accuracy, averaged over classes and seeds."""
    means = mean_over_seeds({seed: result.means(seed) for seed in result.seeds()})
    return {"dataset_name": published_dataset_key(result.dataset_name), **means}


def unstructured_results(results: Sequence[Accuracies]) -> dict[str, dict[str, dict[str, float]]]:
    """Data set -> field name -> class -> accuracy, keyed as in the published results."""
    return {published_dataset_key(result.dataset_name): result.per_class() for result in results}


def published_dataset_key(dataset_name: str) -> str:
    """The name that a data set has in published results."""
    return f"{dataset_name}_results"
