"""OpenAI's chat completions over an instance: an existing client works by changing its base URL and key.

Owns: OpenAI's wire format, of requests, answers, streams and errors. Does not own: whether a run may be
(`gateway.access`, `gateway.service`) nor what it costs. What OpenAI's API has and an instance has not is
refused by name, never ignored.
"""
