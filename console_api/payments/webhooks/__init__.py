"""What payment providers tell us, each delivery once.

Owns: the delivery log, telling early deliveries again, giving up on them, and what operators see of it. Does
not own: signatures and the meaning of a payload (the adapters), or what a fact changes (`orders`).

The order of effects: a signature is verified before anything is stored; the adapter reads the payload, and
may ask its provider; then the delivery's row, what its facts change and its mark are one transaction. A crash
before the commit leaves nothing, and the provider tells again; one after it leaves an applied row, and the
repeat does nothing.
"""
