"""Targeted probe perturbation: ablate the latents of one class, and compare the drops of all classes' probes.

    score of class c = (drop of c's probe) - (mean drop of the other classes' probes)

A drop is the accuracy before less the accuracy after ablation. One-vs-rest probes train on balanced texts, every class
against as many texts of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_bench.evals.families.labelled import PooledDataset, one_vs_rest
from sae_bench.evals.scr_and_tpp.ablation import Ablation, Contrast, logits
from sae_bench.evals.scr_and_tpp.eval_output import EVAL_TYPE_ID_TPP, tpp_key
from sae_bench.probes import AdamWProbes, AdamWSettings, DenseFeatures, ProbeProblem, train_adamw_probes
from sae_bench.seeding import named_generator

KINDS = ("total_metric", "intended_diff_only", "unintended_diff_only")


@dataclass(frozen=True)
class Measured:
    """What the probes of one data set and seed are measured on, and what they say of the texts as they are.

    Attributes:
        places_CV: places among the U test texts of the V texts of every class's probe.
        labels_CV: whether they are of that class.
        base_CU: logits of every probe on all test texts.
    """

    places_CV: Int[Tensor, "C V"]
    labels_CV: Bool[Tensor, "C V"]
    base_CU: Float[Tensor, "C U"]

    def right(self, logits_CU: Float[Tensor, "C U"]) -> Bool[Tensor, "C V"]:
        """Whether each probe is right about the texts that it is measured on."""
        return (logits_CU.gather(1, self.places_CV) > 0) == self.labels_CV


@dataclass(frozen=True)
class PreparedTpp:
    """What all SAEs share at one hook: trained probes, draws, logits before ablation."""

    datasets: tuple[PooledDataset, ...]
    seeds: tuple[int, ...]
    probes: AdamWProbes
    ablations: tuple[Ablation, ...]
    measured: Mapping[tuple[str, int], Measured]


def prepare_tpp(
    datasets: Sequence[PooledDataset],
    activations_TD: Float[Tensor, "T D"],
    *,
    seeds: Sequence[int],
    settings: AdamWSettings,
    device: torch.device | None = None,
) -> PreparedTpp:
    """Train the probes of all data sets, classes and seeds in one loop, draw the texts, and lay out the ablations.

    As published, the texts that choose a probe's epoch, those that measure it and those that rank the latents are
    drawn apart; here one measuring draw serves the accuracy before and after every ablation, which pairs them.

    Args:
        activations_TD: the mean activation of each text.
        settings: the recipe of the probes.
        device: where to train; by default where the activations are.
    """
    features = DenseFeatures(activations_TD if device is None else activations_TD.to(device))
    problems = [
        probe_problem(dataset, name, seed) for dataset in datasets for seed in seeds for name in dataset.classes
    ]
    probes = train_adamw_probes(features, problems, settings=settings, device=device)
    ablations: list[Ablation] = []
    measured: dict[tuple[str, int], Measured] = {}
    first = 0
    for dataset in datasets:
        test_rows_U = torch.cat([dataset.test_rows[name] for name in dataset.classes])
        x_UD = activations_TD[test_rows_U].cpu()
        for seed in seeds:
            probe_numbers = tuple(range(first, first + len(dataset.classes)))
            first += len(dataset.classes)
            draws = [measuring_draw(dataset, name, seed) for name in dataset.classes]
            measured[dataset.name, seed] = Measured(
                torch.stack([rows for rows, _ in draws]),
                torch.stack([labels for _, labels in draws]).bool(),
                logits(probes, x_UD, probe_numbers),
            )
            for number, name in zip(probe_numbers, dataset.classes, strict=True):
                contrast = ranking_contrast(dataset, name, seed)
                identity = (EVAL_TYPE_ID_TPP, dataset.name, name, seed)
                ablations.append(Ablation(number, contrast, probe_numbers, test_rows_U, signed=True, name=identity))
    return PreparedTpp(tuple(datasets), tuple(seeds), probes, tuple(ablations), measured)


def _generator(dataset: PooledDataset, class_name: str, seed: int, purpose: str) -> torch.Generator:
    return named_generator(EVAL_TYPE_ID_TPP, dataset.name, class_name, seed, purpose)


def probe_problem(dataset: PooledDataset, class_name: str, seed: int) -> ProbeProblem:
    """What the probe of one class learns from and is tested on."""
    generator = _generator(dataset, class_name, seed, "probe texts")
    return ProbeProblem(
        (EVAL_TYPE_ID_TPP, dataset.name, class_name, seed),
        *one_vs_rest(dataset, "training", dataset.train_rows, class_name, generator),
        *one_vs_rest(dataset, "test", dataset.test_rows, class_name, generator),
    )


def measuring_draw(dataset: PooledDataset, class_name: str, seed: int) -> tuple[Tensor, Tensor]:
    """Places of the drawn texts among all test texts of the data set, class after class, and labels."""
    starts, start = {}, 0
    for name in dataset.classes:
        starts[name] = torch.arange(start, start + len(dataset.test_rows[name]))
        start += len(dataset.test_rows[name])
    return one_vs_rest(dataset, "test", starts, class_name, _generator(dataset, class_name, seed, "measured texts"))


def ranking_contrast(dataset: PooledDataset, class_name: str, seed: int) -> Contrast:
    """The training texts of a class, and as many of the others, between which latents are ranked."""
    generator = _generator(dataset, class_name, seed, "effect texts")
    rows, labels = one_vs_rest(dataset, "training", dataset.train_rows, class_name, generator)
    return Contrast(dataset.train_rows[class_name], rows[labels == 0])


# ---- scores


@dataclass(frozen=True)
class DatasetScores:
    """Drops of all probes under all ablations of one data set.

    Attributes:
        drops: seed -> (C, N, C) drop of accuracy by ablated class, N and class of the probe.
        units: seed -> (N, U') values by N, of every text of every probe's draw, whose mean is the data set's score:
            the drop of the text's own class less the mean drop under ablations of the others.
        texts: seed -> (C, V) places of these texts.
    """

    dataset: PooledDataset
    sizes: tuple[int, ...]
    drops: Mapping[int, Float[Tensor, "C N C"]]
    units: Mapping[int, Float[Tensor, "N C V"]]
    texts: Mapping[int, Int[Tensor, "C V"]]

    def of_class(self, seed: int, c: int, n: int) -> dict[str, float]:
        """Kind -> value of one class."""
        drop_C = self.drops[seed][c, self.sizes.index(n)].tolist()
        others = fmean(drop for other, drop in enumerate(drop_C) if other != c)
        return dict(zip(KINDS, (drop_C[c] - others, drop_C[c], others), strict=True))

    def metrics(self, seed: int) -> dict[str, float]:
        """Field -> mean over classes."""
        classes = range(len(self.dataset.classes))
        values = {n: [self.of_class(seed, c, n) for c in classes] for n in self.sizes}
        return {tpp_key(kind, n): fmean(of[kind] for of in values[n]) for n in self.sizes for kind in KINDS}


def score_tpp(
    prepared: PreparedTpp, shifts: Sequence[Float[Tensor, "N C U"]], sizes: Sequence[int]
) -> list[DatasetScores]:
    """Scores of one SAE from how far its ablations move the logits, in the order of `prepared.ablations`."""
    left = iter(shifts)
    results = []
    for dataset in prepared.datasets:
        drops, units, texts = {}, {}, {}
        for seed in prepared.seeds:
            measured = prepared.measured[dataset.name, seed]
            before_CV = measured.right(measured.base_CU).double()
            lost_ANCV = torch.stack(
                [
                    torch.stack([before_CV - measured.right(measured.base_CU + s).double() for s in next(left)])
                    for _ in dataset.classes
                ]
            )
            drops[seed] = lost_ANCV.mean(dim=3)
            units[seed] = _units(lost_ANCV)
            texts[seed] = measured.places_CV
        results.append(DatasetScores(dataset, tuple(sizes), drops, units, texts))
    return results


def _units(lost_ANCV: Float[Tensor, "A N C V"]) -> Float[Tensor, "N C V"]:
    """Per test text of probe c: accuracy lost under the ablation of c, less the mean loss under the others."""
    own_NCV = torch.stack([lost_ANCV[c, :, c] for c in range(len(lost_ANCV))], dim=1)
    others_NCV = (lost_ANCV.sum(dim=0) - own_NCV) / (len(lost_ANCV) - 1)
    return own_NCV - others_NCV


def seed_metrics(results: Sequence[DatasetScores]) -> dict[int, dict[str, float]]:
    """Seed -> field -> mean over classes, then data sets."""
    per_seed: dict[int, dict[str, float]] = {}
    for seed in results[0].drops:
        of_sets = [result.metrics(seed) for result in results]
        per_seed[seed] = {key: fmean(of[key] for of in of_sets) for key in of_sets[0]}
    return per_seed


def detail_row(result: DatasetScores) -> dict[str, str | float]:
    """Field -> value of one data set, mean over seeds."""
    of_seeds = [result.metrics(seed) for seed in result.drops]
    means = {key: fmean(of[key] for of in of_seeds) for key in of_seeds[0]}
    return {"dataset_name": f"{result.dataset.name}_tpp_results", **means}


def unstructured_results(results: Sequence[DatasetScores]) -> dict[str, dict[str, dict[str, float]]]:
    """Data set -> class -> field -> mean over seeds, keyed as in the published results."""
    return {
        result.dataset.name: {
            name: {
                tpp_key(kind, n): fmean(result.of_class(seed, c, n)[kind] for seed in result.drops)
                for n in result.sizes
                for kind in KINDS
            }
            for c, name in enumerate(result.dataset.classes)
        }
        for result in results
    }
