"""`python -m sae_bench.evals.core.main SAE_REGEX_PATTERN SAE_BLOCK_PATTERN`"""

from sae_bench.cli.process import run_command
from sae_bench.forwarding import published_path
from sae_bench.published.core import *
from sae_bench.published.core import command

published_path(__name__, "sae_bench.published.core")

if __name__ == "__main__":
    run_command(command)
