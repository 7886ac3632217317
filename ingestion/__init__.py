"""Knowledge sources: fetch → parse → chunk → embed → index.

Invariants: a request is committed only when what it asks for is durable; readers see the version before until
the new one is whole; bytes of strangers are only parsed in a process that may not grow, last or write.
"""
