"""For tests, also of users' own SAEs: tiny random models and SAEs, and contract checks."""

from sae_bench.testing.sae_checks import SAEReport, check_sae
from sae_bench.testing.tiny_models import ARCHITECTURES, FAMILIES, tiny_model, tiny_sae, tiny_tokenizer

__all__ = ["ARCHITECTURES", "FAMILIES", "SAEReport", "check_sae", "tiny_model", "tiny_sae", "tiny_tokenizer"]
