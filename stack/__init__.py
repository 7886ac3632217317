"""The embedded stack: everything Runmeter needs, on one machine, and the `runmeter` command."""
