"""Credentials of other systems, sealed: connectors' and webhooks'."""
