"""Every change of an org's credits, line by line and added up, from the warehouse."""
