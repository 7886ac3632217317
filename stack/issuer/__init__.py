"""An OpenID Connect issuer for development: a fixed list of users, one password, real tokens.

Authorization code with PKCE for public clients. It keeps no session of its own: every sign-in asks, so that
one can be somebody else the next time. Codes and refresh tokens live in memory and end with the process.
"""
