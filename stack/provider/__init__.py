"""A deterministic model provider on this machine, speaking the OpenAI chat-completions protocol.

It stands for a third party: the demo and the tests run against it, production against a real one. Answers are
a function of the request; usage is counted as OpenAI counts it; faults are injected on demand.
"""
