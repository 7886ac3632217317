"""Secrets on their way from Vault to a process: what would not arrive is found before it is deployed."""
