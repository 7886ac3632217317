"""Records that a worker refused: what they were, why, and another chance for them.

Owns the table of them, not the topic: that keeps all of them, this the newest.
"""
