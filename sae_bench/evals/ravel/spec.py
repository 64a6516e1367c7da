"""What RAVEL is: the declaration, which loads nothing that computes."""

from sae_bench.evals.base import INTERVENTION, SHARE, SINGLE_TOKENS, EvalSpec, Lazy, Metric, Shows
from sae_bench.evals.ravel.eval_config import RAVELEvalConfig
from sae_bench.evals.ravel.eval_output import RAVELEvalOutput
from sae_bench.evals.shows import RowsChart

SPEC = EvalSpec(
    name="ravel",
    title="RAVEL",
    summary="How well latents change one attribute of an entity in the model's output and leave the others alone.",
    protocol="ravel-2",
    config=RAVELEvalConfig,
    output=RAVELEvalOutput,
    metrics=(
        Metric("ravel.disentanglement_score", "Disentanglement", True, bounds=SHARE),
        Metric("ravel.cause_score", "Cause", True, 0.0, SHARE),
        Metric("ravel.isolation_score", "Isolation", True, bounds=SHARE),
    ),
    cost="completions of all prompts, once per model; per SAE, attribute and seed a mask trained through the layers "
    "after the hook, and one completion per test pair",
    given="these training prompts",
    fixed_tokens="the last token of each entity",
    transcoders_apart="decoded codes replace all that an SAE writes, and are added to what a transcoder's hook has",
    texts=lambda _context, _config: (),
    start=Lazy("sae_bench.evals.ravel.evaluate:RAVELJob"),
    needs=frozenset({INTERVENTION, SINGLE_TOKENS}),
    presets={
        "paper": {},
        "quick": {
            "entity_attribute_selection": {"city": ["Country", "Continent", "Language"]},
            "full_dataset_downsample": 480,
            "num_pairs_per_attribute": 30,
        },
    },
    embedded={
        "dataset_name": "embedded/cities",
        "entity_attribute_selection": {"city": ["Country", "Continent", "Language"]},
    },
    demo={
        "entity_attribute_selection": {"city": ["Country", "Continent"]},
        "full_dataset_downsample": 240,
        "num_pairs_per_attribute": 8,
    },
    shows=Shows(
        "attribute",
        charts=(
            RowsChart(
                "Cause: the attribute follows the latents",
                "share of pairs",
                {
                    "SAE": "cause_score",
                    "floor: mean activation": "mean_activation_cause_score",
                    "ceiling: whole activation": "patched_cause_score",
                },
                labels=("entity_class", "attribute"),
                means={"SAE": "ravel.cause_score"},
            ),
            RowsChart(
                "Isolation: the other attributes stay",
                "share of pairs",
                {
                    "SAE": "isolation_score",
                    "floor: mean activation": "mean_activation_isolation_score",
                    "whole activation": "patched_isolation_score",
                },
                labels=("entity_class", "attribute"),
                means={"SAE": "ravel.isolation_score"},
            ),
        ),
    ),
)
