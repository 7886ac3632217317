"""From an order to a working instance.

Owns: orders, the facts that payment providers tell about them (`facts`), and what a paid one sets going
(`provisioning`). Does not own: how money is asked for (`console_api.payments`), what a subscription does
after its first period (`console_api.subscriptions`).
"""
