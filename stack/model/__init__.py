"""A model server on this machine that speaks OpenAI's protocol and answers without a model.

Answers are a function of the request: sentences of the context it is given, results of tools, or composed
text on the question's topics. Usage is counted as OpenAI counts it; faults are injected on demand (`faults`),
and `GET /admin/usage` says what was really generated, so that metering can be compared with it.
"""
