"""Intervals, paired tests, detectable differences and ranks, as pure functions of the samples behind a metric."""
