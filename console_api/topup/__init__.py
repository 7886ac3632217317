"""Buying credits by itself when a wallet runs low: bounded, spaced, and given up when the bank says no."""
