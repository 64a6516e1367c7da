"""`python -m sae_bench.evals.meta_structure.main --sae_regex_pattern .. --sae_id_pattern ..`"""

from sae_bench.cli.process import run_command
from sae_bench.forwarding import published_path
from sae_bench.published.meta_structure import *
from sae_bench.published.meta_structure import command

published_path(__name__, "sae_bench.published.meta_structure")

if __name__ == "__main__":
    run_command(command)
