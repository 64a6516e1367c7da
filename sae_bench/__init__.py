"""SAE Bench: a benchmark suite for sparse autoencoders on language models."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sae-bench")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0.0.0"
