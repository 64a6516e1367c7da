"""The published helpers, for scripts that call them: thin adapters over the rest of the package."""
