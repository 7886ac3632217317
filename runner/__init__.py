"""Executes runs: streams a model's answer, calls tools, and meters both as they go.

Owns: model calls and tool calls of one run, and the events that say what they used.
Does not own: who may run, what it costs, or when a run counts as closed (gateway).
"""
