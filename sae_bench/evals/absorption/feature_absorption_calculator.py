"""Published path of `sae_bench.published.absorption_steps.calculator`."""

from sae_bench.forwarding import published_path
from sae_bench.published.absorption_steps.calculator import *

published_path(__name__, "sae_bench.published.absorption_steps.calculator")
