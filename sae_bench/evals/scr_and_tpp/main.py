"""`python -m sae_bench.evals.scr_and_tpp.main --perform_scr true|false --model_name .. ..`"""

from sae_bench.cli.process import run_command
from sae_bench.forwarding import published_path
from sae_bench.published.scr_and_tpp import *
from sae_bench.published.scr_and_tpp import command

published_path(__name__, "sae_bench.published.scr_and_tpp")

if __name__ == "__main__":
    run_command(command)
