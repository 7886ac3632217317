"""`billing.records` → receivers elsewhere, one Faust app and consumer group for each.

Owns: delivery at least once under ids that stay, waiting for receivers, dead letters, replay and status.
Does not own: what a record says (`billing`).
"""
