"""How a change in the database reaches the rest of the system, and what the changes have in common.

Owns: the transactional outbox and its relay, the projections in Redis, the audit log, sealed credentials, and
the steps that provisioning is made of. Does not own: who may ask for a change; that is for the features.

The order of effects: a change, its audit row and its outbox rows are one transaction. The relay then writes
to Kafka or Redis, and marks the rows sent. A crash before the commit leaves nothing; one between write and
mark writes again, which consumers fold away (a command's id, a projection's version).
"""
