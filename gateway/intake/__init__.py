"""Runs that happened elsewhere, reported as CloudEvents: charged like any other, once each.

Owns: which reports are understood, how many at once, and how each becomes the usage events of one run. Does
not own: what a run costs (metering), nor late usage from a file (`runmeter correct backfill`).

A report is a fact about the past: it is never refused for lack of credits. It applies once by its `source`
and `id`, not because anybody remembers it but because everything in its events follows from it alone: the
run's id, its times, its price book. Said twice, the metering algebra folds it away.
"""
