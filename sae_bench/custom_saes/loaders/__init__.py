"""One file per source of SAEs; each has `resolve(rest of the spec, data_dir=)` and lists without loading weights."""
