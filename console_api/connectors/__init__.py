"""Ways from instances to other systems, as their owners set them up.

Owns: whose they are, their settings, and that credentials go in and never come out. Does not own: what a kind
does (`kit.connectors`), nor the calls of runs (the runner).
"""
