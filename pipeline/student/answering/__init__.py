"""A loaded model that answers: how a text is generated, and what is kept of it."""
