"""The Strategist: how policy changes, who may change it, and what it was before."""
