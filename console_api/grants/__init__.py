"""Credits that operators give, and take back. Wallets hear of it through the outbox, like of every grant."""
