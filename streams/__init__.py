"""The workers between Kafka and the stores: metering, warehouse, relay, billing records and their exports.

Owns: batch transport for Faust, exactly-once application by fences and plans, dead letters, replay.
Does not own: what a run costs (`metering`) or what an event looks like (`schemas`).
"""
