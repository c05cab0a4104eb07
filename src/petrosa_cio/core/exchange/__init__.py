"""Markets: recorded, live and synthetic."""
