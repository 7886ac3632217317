"""Usage of one instance over time, from the warehouse."""
