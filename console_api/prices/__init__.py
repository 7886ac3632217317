"""A tenant's prices: what holds from when, what a change would cost whom, and the change."""
