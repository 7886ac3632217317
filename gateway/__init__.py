"""The public data plane: authenticates, admits, runs, meters.

Owns: the life cycle of a run from admission to its closing event.
Does not own: model calls (runner), charging (metering worker), who bought what (control plane).
"""
