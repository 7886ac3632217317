"""Where money comes from: one port, and an adapter for each provider."""
