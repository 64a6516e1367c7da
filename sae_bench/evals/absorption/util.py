"""Published path of `sae_bench.published.absorption_steps.batches`."""

from sae_bench.forwarding import published_path
from sae_bench.published.absorption_steps.batches import *

published_path(__name__, "sae_bench.published.absorption_steps.batches")
