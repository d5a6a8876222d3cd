"""Values as they are written: numbers in figures and words, units, dates, lists and sets."""
