"""Alerts: what an org wants to hear of, where, and telling it once.

Owns: channels, rules, what was told, and its messages until they are taken or given up. Does not own: the
facts: thresholds come from the metering worker and the relay (`credits.limits`), payments from top-ups and
subscriptions; what spending is unusual and when credits end is `metering`'s.
"""
