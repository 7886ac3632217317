"""SQL of a tenant's analysts over the warehouse's views: one SELECT, their own rows, within limits."""
