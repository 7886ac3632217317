"""Chat widgets in other people's pages: short sessions for visitors who have no account anywhere.

Owns: the script that pages embed (`static/`), which origins a widget's key opens, session and visitor tokens,
how often a visitor, an address and a key may begin sessions and runs. Does not own: the keys (control plane),
the runs (`gateway.service`).

A widget's key is in the page for everybody to read, so it is no secret. What it opens is bounded by the
origins it names, by these limits, and by the instance's own.
"""
