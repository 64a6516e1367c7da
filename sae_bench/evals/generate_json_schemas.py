"""`python -m sae_bench.evals.generate_json_schemas`"""

from sae_bench.cli.json_schemas import *
from sae_bench.cli.json_schemas import command
from sae_bench.cli.process import run_command
from sae_bench.forwarding import published_path

published_path(__name__, "sae_bench.cli.json_schemas")


if __name__ == "__main__":
    run_command(command)
