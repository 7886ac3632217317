"""Transcripts of what instances were asked and answered, and what people thought of it.

Owns: taking them in, how long they are kept, and that what is deleted is gone. Does not own: taking personal
data out (the runner does, before anything leaves it), nor what a conversation remembers (`runner.memory`).
"""
