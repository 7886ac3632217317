"""The transactional outbox: rows written with a change, and the relay that empties it."""
