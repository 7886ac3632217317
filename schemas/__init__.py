"""Contracts that cross a process boundary: events, topics, Redis keys, ClickHouse rows.

No I/O and no logic live here, so every other package may import this one and it imports none of them.
"""
