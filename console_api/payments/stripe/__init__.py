"""Stripe: checkouts, charges and refunds, and the events that say what became of them.

A payment is named by its payment intent (`pi_…`), which its charge, its refunds and its disputes name, too. A
checkout that cost nothing has none and is named by the session; a period that cost nothing, by its invoice.

Events arrive late, repeatedly and in any order, and their `created` counts whole seconds. So an event is only
taken for what cannot change any more (a session was paid). For what can, it says that something changed, and
how it is now is asked of Stripe: how much was returned, and how a subscription stands.

Only `metadata.order_id` names an order of ours. A `client_reference_id` may come from a link of the buyer's.
"""
