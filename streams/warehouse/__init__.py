"""Events and ledger entries → ClickHouse, each record exactly once.

Invariants: the range of an insert is written down before the insert; an insert's token is a function of its
range; whoever finds a plan open repeats it to the letter.
"""
