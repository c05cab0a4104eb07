"""petrosa-cio: the gate between trading intents and the execution engine."""

__version__ = "0.1.0"
