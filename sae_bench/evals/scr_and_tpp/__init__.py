"""Spurious correlation removal (scr) and targeted probe perturbation (tpp): two evals over one mathematics."""
