"""What a tenant sells: products and their plans.

Owns: what is on offer, and what each plan entitles to. Does not own: orders, subscriptions, instances.
"""
