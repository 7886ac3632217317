"""The instances an org purchased."""
