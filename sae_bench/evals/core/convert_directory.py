"""`python -m sae_bench.evals.core.convert_directory FOLDER`"""

from sae_bench.cli.process import run_command
from sae_bench.forwarding import published_path
from sae_bench.published.convert_directory import *
from sae_bench.published.convert_directory import command

published_path(__name__, "sae_bench.published.convert_directory")


if __name__ == "__main__":
    run_command(command)
