"""What stands beside the accuracies: guessing, the probe on the residual stream, and a direction without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from sae_bench.evals.sparse_probing.eval_output import all_features_key, metric_path
from sae_bench.evals.sparse_probing.probing import MEAN_DIRECTION_KEY, Draw, PreparedDataset
from sae_bench.evals.sparse_probing.text_samples import ProbedTexts, accuracy_samples
from sae_bench.results.references import Reference, References
from sae_bench.results.samples import Samples


def probe_references(
    prepared: Sequence[PreparedDataset], samples: Mapping[str, Samples], units: ProbedTexts
) -> dict[str, References]:
    """Path of a metric -> its floor, ceiling and the supervised direction.

    Args:
        prepared: what no SAE changes, one per data set.
        samples: of the metrics, with those of the probe on the residual stream among them.
        units: the test texts of all data sets.
    """
    stream = metric_path(all_features_key("llm"))
    floor = Reference("the larger class of the training texts", majority_accuracy(prepared))
    ceiling = Reference("probe on the whole residual stream", samples.get(stream))
    direction = accuracy_samples(MEAN_DIRECTION_KEY, prepared, [one.mean_direction for one in prepared], units)
    others = (Reference("difference of class means in the residual stream", direction),)
    all_right = Reference("every text right", 1.0)
    return {
        path: References(floor=floor, ceiling=all_right if path == stream else ceiling, others=others)
        for path in samples
    }


def majority_accuracy(prepared: Sequence[PreparedDataset]) -> float:
    """Accuracy of always naming the class that more training texts have, averaged as the probes' are.

    The draws are balanced, so that it is 0.5 whatever the texts are.
    """
    return fmean(fmean(_majority_share(draw) for draw in one.draws) for one in prepared)


def _majority_share(draw: Draw) -> float:
    says_positive = 2 * int((draw.train_labels > 0).sum()) >= len(draw.train_labels)
    return float(((draw.test_labels > 0) == says_positive).double().mean())
