"""The Auditor: what decisions were worth. Pure: decisions, market and fills in, figures out."""
