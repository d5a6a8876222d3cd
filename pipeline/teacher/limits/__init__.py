"""How fast and how many at once a teacher may be asked: told by somebody, or learnt from how it answers."""
