"""The runs of one instance, one by one, from the warehouse."""
