"""From what is asked for to results on disk: settings resolved once, planning, and the one loop over SAEs."""
