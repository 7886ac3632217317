"""Proof on demand: all is computed again from what was recorded, elsewhere; what came of it is kept here."""
