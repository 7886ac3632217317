"""The audit log, to be read: who did what, when."""
