"""Live usage of one instance as server-sent events."""
