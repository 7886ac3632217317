"""Who is calling: access tokens and the principal every other feature depends on."""
