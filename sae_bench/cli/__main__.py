"""`python -m sae_bench.cli`: the same as `sae-bench`."""

from sae_bench.cli import main

if __name__ == "__main__":
    main()
