"""The inside: what the Nurse, the Auditor and the Strategist think. Pure; no I/O."""
