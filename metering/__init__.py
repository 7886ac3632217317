"""The arithmetic of usage and credits: pure functions over the events of `schemas`.

Owns: how a run's events merge, what a run costs, which window it counts in.
Does not own: clocks, networks, storage, or who may run.
"""
