"""Published path of `sae_bench.published.utils.activation_collection`."""

from sae_bench.forwarding import published_path
from sae_bench.published.utils.activation_collection import *

published_path(__name__, "sae_bench.published.utils.activation_collection")
