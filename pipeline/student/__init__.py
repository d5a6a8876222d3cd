"""Load, prove, generate: what train and evaluate share."""
