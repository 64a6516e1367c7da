"""Baselines that are made from other SAEs: nulls that match an SAE in L0, parts of SAEs, SAEs made worse by degrees."""
