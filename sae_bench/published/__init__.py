"""The published face: what scripts for the published package import and call, on top of everything else."""
