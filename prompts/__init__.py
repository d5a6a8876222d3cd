"""Prompt files, found beside the package."""
