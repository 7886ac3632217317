"""Meters: what is counted, and questions about it. Queried as OpenMeter's are, over the folded history.

Owns: definitions (built in, or a tenant's own), and their translation into one SELECT.
Does not own: how usage is measured (`streams`), or what it costs (`metering`).
"""
