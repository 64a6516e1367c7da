"""What a reader of a metric has to know before believing it."""

from __future__ import annotations

from dataclasses import dataclass

AUDIT = "An independent audit (arXiv 2605.18229)"


@dataclass(frozen=True)
class Caveat:
    """A warning beside metrics of one eval.

    Attributes:
        paths: the metrics it is about; empty: all of the eval.
        serious: whether it puts the metric itself in doubt.
    """

    eval: str
    text: str
    paths: tuple[str, ...] = ()
    serious: bool = False

    def is_about(self, eval_name: str, path: str) -> bool:
        """Whether it stands beside this metric."""
        return eval_name == self.eval and (not self.paths or path in self.paths)


CAVEATS = (
    Caveat(
        "scr",
        f"{AUDIT} found SCR not valid at its usual settings: it turns against ground truth when many latents are "
        "ablated. It is a ratio: where the bias costs little accuracy the denominator is tiny and the score unstable.",
        serious=True,
    ),
    Caveat(
        "tpp",
        f"{AUDIT} found TPP not valid at its usual settings: it falls as SAEs train longer. Do not choose an SAE by it "
        "alone.",
        serious=True,
    ),
    Caveat(
        "sparse_probing",
        "Probes on all latents and on the residual stream keep the epoch with the best TEST accuracy, as published: "
        "a little too high for every SAE.",
        ("sae.sae_test_accuracy", "llm.llm_test_accuracy"),
    ),
    Caveat(
        "core",
        "The published definition before version 0.4.1, which is wrong (too high); kept to stand beside old results.",
        ("reconstruction_quality.explained_variance_legacy",),
        serious=True,
    ),
    Caveat(
        "core",
        "Depends on the batch size; mse_per_token does not.",
        ("reconstruction_quality.mse",),
    ),
    Caveat("core", "An underestimate when few tokens were read.", ("misc_metrics.frac_alive",)),
    Caveat(
        "absorption_first_letter",
        "Two definitions are about: this one, and the thresholded one of published results since version 0.4.1.",
        ("mean.mean_absorption_fraction_score", "mean.mean_absorption_fraction_thresholded_score"),
    ),
    Caveat(
        "unlearning",
        "The setting is chosen on the questions that are scored, so it gains from chance; the held-out score does not.",
        ("unlearning.unlearning_score",),
    ),
    Caveat(
        "autointerp",
        "Depends on the judge model and on its prompts; compare only scores of one judge.",
    ),
)


def caveats_of(eval_name: str, path: str) -> list[Caveat]:
    """The caveats of one metric."""
    return [caveat for caveat in CAVEATS if caveat.is_about(eval_name, path)]
