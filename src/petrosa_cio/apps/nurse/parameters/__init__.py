"""The table of parameters, one module per subject: what each means, its unit, bounds and default, and who enforces it.

`petrosa_cio.apps.nurse.defaults` joins the tables; nothing else reads them one by one.
"""
