"""One file a method, found by name; adding one touches nothing else."""
