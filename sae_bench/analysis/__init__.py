"""What result files say together: one table, comparisons, verdicts, and the forms of published results."""
