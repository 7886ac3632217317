"""Events → run states, counters, wallets and ledger entries in Redis, each applied exactly once.

Invariants: every effect of partition p is one script call that also moves p's fences and its `seq`; a worker
acts only on state it read at that `seq`; a record is never half applied.
"""
