"""`python -m sae_bench.evals.mdl.main --sae_regex_pattern .. --sae_block_pattern .. --model_name ..`"""

from sae_bench.cli.process import run_command
from sae_bench.forwarding import published_path
from sae_bench.published.mdl import *
from sae_bench.published.mdl import command

published_path(__name__, "sae_bench.published.mdl")

if __name__ == "__main__":
    run_command(command)
