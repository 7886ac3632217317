"""Bytes → text → chunks, in a process of their own that may not grow, last or write.

`runner` starts that process and is all that the rest of the worker uses; `child` is what runs in it.
"""
