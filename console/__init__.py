"""The web console: pages over the console API, and nothing else.

Owns: what a person sees and how it is kept current. Does not own: any figure. It holds no store client and
imports no service; everything comes over HTTP from `console_api`.
"""
