"""Who belongs to an org, and who is invited to."""
