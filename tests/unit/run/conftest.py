"""Runs on a tiny model."""

from tiny_run_fixtures import data, lm, make_plan, one_thread, own_registry, words

__all__ = ["data", "lm", "make_plan", "one_thread", "own_registry", "words"]
