"""Find, normalise and compare final answers."""
