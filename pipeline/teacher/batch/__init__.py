"""Asking through a provider's batch API: half the price, and up to a day a round."""
