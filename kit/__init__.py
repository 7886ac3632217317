"""Plumbing that every service shares and no business rule: settings, clients, publishing, clock, logs."""
