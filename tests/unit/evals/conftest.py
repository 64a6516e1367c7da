"""Runs on a tiny model."""

from tiny_run_fixtures import _one_thread, _own_registry, data, lm, make_plan, words

__all__ = ["_one_thread", "_own_registry", "data", "lm", "make_plan", "words"]
