"""API keys of instances: made once, shown once, stored as digests.

Owns: who may make, list, rotate and revoke keys, and what introspection answers. Does not own: what the
gateway makes of them; it reads the projections.
"""
