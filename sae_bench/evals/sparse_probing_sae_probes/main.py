"""`python -m sae_bench.evals.sparse_probing_sae_probes.main --sae_regex_pattern .. --sae_block_pattern ..`"""

from sae_bench.cli.process import run_command
from sae_bench.forwarding import published_path
from sae_bench.published.sparse_probing_sae_probes import *
from sae_bench.published.sparse_probing_sae_probes import command

published_path(__name__, "sae_bench.published.sparse_probing_sae_probes")

if __name__ == "__main__":
    run_command(command)
