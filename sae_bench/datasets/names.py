"""Names of data sets that settings have as defaults; reading them loads nothing."""

RAVEL = "adamkarvonen/ravel_prompts"
