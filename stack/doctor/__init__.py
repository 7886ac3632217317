"""`runmeter doctor`: looks at everything a stack needs, changes nothing, and says what to do.

One file per thing looked at; each returns findings, and a store that cannot be reached is a finding, too.
"""
