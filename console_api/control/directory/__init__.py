"""The steps that provisioning and the seed are made of: tenants, orgs, instances, prices."""
