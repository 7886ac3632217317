"""`/account/instances/{id}/{tab}`: one module per tab, and the page around them."""
