"""What the metering script left to be done outside of Redis: publish the ledger, close abandoned runs.

Invariants: an outbox entry is trimmed only after Kafka has it; a `lost` event never outranks a real ending.
"""
