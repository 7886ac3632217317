"""Control plane and usage queries over HTTP: the contract of any front end.

Owns: orgs, orders, instances, keys and prices in its database, and what leaves of them through the outbox;
what a buyer may read of usage, runs and wallet, live and historic. Does not own: metering, credits or
admission; of those it only reads the counters, wallets and rows that the workers write.
"""
