"""Published path of `sae_bench.published.utils.sae_selection_utils`."""

from sae_bench.forwarding import published_path
from sae_bench.published.utils.sae_selection_utils import *

published_path(__name__, "sae_bench.published.utils.sae_selection_utils")
