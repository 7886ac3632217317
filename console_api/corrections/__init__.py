"""Corrections of runs: sent through the outbox, applied by the metering worker, never written by hand."""
