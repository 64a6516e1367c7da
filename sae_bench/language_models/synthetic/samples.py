"""Samples of a synthetic model: which features are on, how strongly, and the activation that is their sum.

Shapes: B samples, G true features, D d_model, R common causes.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sae_bench.language_models.synthetic.features import SyntheticFeatures
from sae_bench.seeding import named_generator

BLOCK = 1024
"""Samples that are drawn together: a sample is its place in a block, and every block has a generator of its own."""
KEPT_BYTES = 1 << 29


@torch.no_grad()
def draw_activity(features: SyntheticFeatures, n: int, generator: torch.Generator) -> sparse.csr_matrix:
    """Values of the features in n fresh samples, (n, G), 0 where a feature is off.

    A feature fires where a Gaussian of unit variance, made of common causes and its own part, exceeds the threshold
    of its probability; its size is relu(mean + spread * normal); then the hierarchy applies.

    Args:
        features: what is drawn from.
        n: samples.
        generator: of all randomness.
    """
    f = features
    causes_RB = torch.randn(f.causes_GR.shape[1], n, generator=generator)
    level_GB = torch.randn(len(f.own_G), n, generator=generator).mul_(f.own_G[:, None]).addmm_(f.causes_GR, causes_RB)
    feature, sample = torch.nonzero(level_GB > _thresholds(f)[:, None], as_tuple=True)
    size = f.mean_G[feature] + f.spread_G[feature] * torch.randn(len(feature), generator=generator)
    values_GB = level_GB.zero_()
    values_GB[feature, sample] = size.relu()
    f.hierarchy.apply_(values_GB, f.mean_G, generator)
    feature, sample = torch.nonzero(values_GB, as_tuple=True)
    values = values_GB[feature, sample].numpy()
    return sparse.csr_matrix((values, (sample.numpy(), feature.numpy())), shape=(n, len(f.own_G)))


def _thresholds(features: SyntheticFeatures) -> Tensor:
    return math.sqrt(2) * torch.erfinv(1 - 2 * features.probability_G)


class SampleSource:
    """The samples of a model by number: the same number is the same sample, whichever are asked for together.

    Args:
        features: what samples are drawn from.
    """

    def __init__(self, features: SyntheticFeatures) -> None:
        self.features = features
        self._directions_GD = features.directions_GD.numpy()
        self._bias_D = features.bias_D.numpy()
        self._blocks: OrderedDict[int, sparse.csr_matrix] = OrderedDict()
        self._bytes = 0

    def activity(self, numbers: Sequence[int] | np.ndarray) -> sparse.csr_matrix:
        """Values of the features in the samples of these numbers, in their order, (B, G)."""
        wanted = np.asarray(numbers, dtype=np.int64)
        block_of, place = np.divmod(wanted, BLOCK)
        parts, order = [], []
        for block in np.unique(block_of):
            rows = np.flatnonzero(block_of == block)
            parts.append(self._block(int(block))[place[rows]])
            order.append(rows)
        if not parts:
            return sparse.csr_matrix((0, len(self._directions_GD)), dtype=np.float32)
        return sparse.vstack(parts, format="csr")[np.argsort(np.concatenate(order), kind="stable")]

    def activations(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Activations (B, D) of these samples, float32."""
        return self.sums(self.activity(numbers))

    def sums(self, activity: sparse.csr_matrix) -> np.ndarray:
        """Activations (B, D) of samples with these values of features (B, G)."""
        return activity @ self._directions_GD + self._bias_D

    def _block(self, number: int) -> sparse.csr_matrix:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        block = draw_activity(self.features, BLOCK, named_generator("synthetic samples", number))
        self._blocks[number] = block
        self._bytes += _size(block)
        while self._bytes > KEPT_BYTES and len(self._blocks) > 1:
            self._bytes -= _size(self._blocks.popitem(last=False)[1])
        return block


def _size(matrix: sparse.csr_matrix) -> int:
    return matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
