"""`credits.ledger` → `billing.records`: one record per closed run, and one per change of it afterwards.

Owns: revisions, their ids and what each adds to the one before. Does not own: where records go (`exports`).
"""
