"""k-sparse probing on the binary tasks of the package sae-probes: cross-validated logistic regression, AUC and F1."""
