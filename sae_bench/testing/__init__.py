"""For tests, also of users' own SAEs, evals and models: tiny random models and SAEs, and contract checks."""

from sae_bench.testing.checks import Check, CheckReport, run_checks
from sae_bench.testing.eval_checks import check_eval
from sae_bench.testing.model_checks import check_model
from sae_bench.testing.sae_checks import SAEReport, check_sae, sae_checks
from sae_bench.testing.tiny_models import (
    ARCHITECTURES,
    FAMILIES,
    tiny_model,
    tiny_sae,
    tiny_temporal_sae,
    tiny_tokenizer,
    tiny_transcoder,
)

__all__ = [
    "ARCHITECTURES",
    "FAMILIES",
    "Check",
    "CheckReport",
    "SAEReport",
    "check_eval",
    "check_model",
    "check_sae",
    "run_checks",
    "sae_checks",
    "tiny_model",
    "tiny_sae",
    "tiny_temporal_sae",
    "tiny_tokenizer",
    "tiny_transcoder",
]
