"""Grants and what is done to them, as the control plane sends them to wallets."""
