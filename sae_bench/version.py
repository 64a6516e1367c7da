"""Version of the installed package."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("sae-bench")
except PackageNotFoundError:  # running from a source tree that was never installed
    VERSION = "0.0.0"
