"""How far each worker is behind the log. Positions are where their effects are: fences, plans, commits."""
