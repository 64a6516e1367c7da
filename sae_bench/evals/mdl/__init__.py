"""MDL: how many bits the codes of an SAE take, and whether what these bits say still reconstructs."""
