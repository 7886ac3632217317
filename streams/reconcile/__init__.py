"""Proof: everything that is charged, computed again from what was recorded, compared to the micro-credit.

Reads the raw events, the dead letters and all stores; writes nothing. Owns no arithmetic: what a run costs is
`metering`'s to say, here as in the worker.
"""
