"""`python -m sae_bench.evals.ravel.main --sae_regex_pattern .. --sae_block_pattern .. --model_name ..`"""

from sae_bench.cli.process import run_command
from sae_bench.forwarding import published_path
from sae_bench.published.ravel import *
from sae_bench.published.ravel import command

published_path(__name__, "sae_bench.published.ravel")

if __name__ == "__main__":
    run_command(command)
