"""Whether this process and its stores are up, and its metrics."""
