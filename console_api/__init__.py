"""Control plane and usage queries over HTTP: the contract of any front end.

Owns: what a buyer may read of usage, runs and wallet, live and historic. Does not own: metering, credits or
admission; it only reads the counters, wallets and rows that the workers write.
"""
