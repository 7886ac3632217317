"""Saleor: a shop that takes orders and payments itself, and tells us with signed webhooks.

The app in the shop has one webhook to `/api/v1/webhooks/saleor`, without a secret key (Saleor then signs with
its RSA key), with `order.graphql` as its subscription query and with the permission MANAGE_ORDERS, for
ORDER_FULLY_PAID, ORDER_PAID, ORDER_REFUNDED, ORDER_FULLY_REFUNDED and ORDER_CANCELLED.

An order's payment is named by the order's id: a shop has several ways to pay, and a refund names only the
order. A variant's SKU is the code of a plan. The buyer's organisation is, by the order's *private* metadata,
`runmeter.org` (and `runmeter.org_name`), or else the shop's customer, or else the e-mail address. The tenant
is the setting's, unless private metadata says `runmeter.tenant`. Buyers write public metadata: it is not
read.

A delivery has no id in Saleor. Ours is made of what happened and the payload, which names the order: a repeat
has the same, and a second refund of the same order another.
"""
