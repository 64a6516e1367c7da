"""`python -m sae_bench.custom_saes.run_all_evals_custom_saes`"""

from sae_bench.cli.process import run_command
from sae_bench.forwarding import published_path
from sae_bench.published.run_all_evals_custom_saes import *
from sae_bench.published.run_all_evals_custom_saes import command

published_path(__name__, "sae_bench.published.run_all_evals_custom_saes")


if __name__ == "__main__":
    run_command(command)
