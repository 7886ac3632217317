"""Plans that go on: their periods, what becomes of them when money is missing, and how they end."""
