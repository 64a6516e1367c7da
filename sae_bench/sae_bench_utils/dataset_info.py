"""Published path of `sae_bench.published.utils.dataset_info`."""

from sae_bench.forwarding import published_path
from sae_bench.published.utils.dataset_info import *

published_path(__name__, "sae_bench.published.utils.dataset_info")
