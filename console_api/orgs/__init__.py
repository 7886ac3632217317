"""Orgs: those one belongs to, one's own, and for operators all of the tenant's."""
