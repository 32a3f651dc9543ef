"""What would bite later, by subject: each check takes what was seen of the machine, gives findings, changes nothing.

`seen` is what a check looks at, `finding` what it gives; tasks/doctor.py calls them all.
"""
