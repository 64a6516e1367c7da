"""Published path of `sae_bench.published.absorption_steps.feature_absorption`."""

from sae_bench.forwarding import published_path
from sae_bench.published.absorption_steps.feature_absorption import *

published_path(__name__, "sae_bench.published.absorption_steps.feature_absorption")
