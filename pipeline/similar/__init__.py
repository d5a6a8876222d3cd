"""Texts that say the same: compared by their words, never by what they mean."""
