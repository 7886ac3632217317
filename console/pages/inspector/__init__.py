"""One run in full: what it did, why it costs what it does, and where that is written down."""
