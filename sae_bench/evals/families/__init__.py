"""What several evals do alike: labelled texts, packed rows, settings, and what is reported of an SAE."""
