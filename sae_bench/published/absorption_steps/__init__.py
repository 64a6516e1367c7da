"""The steps of the absorption eval one by one, as published: probes, sparse probes, absorption of single words."""
