"""What would a month of inference traffic look like, and does the product see in it what was planted?

A synthetic topic, deterministic by seed (`topic`, `events`, `records`, `produce`); an oracle that recomputes it from
the raw records (`truth`, `scores`); and the claims in which the two must agree (`claims`, `validate`).
Nothing here imports the server's code.
"""
