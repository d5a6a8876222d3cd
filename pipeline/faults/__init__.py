"""What nobody should learn from, whatever its answer: one module a kind of fault.

Each fault looks at one solution and gives a line on what it met and what is wanted instead; None for a sound one. No
line ever quotes a text at length, and none a secret.
"""
