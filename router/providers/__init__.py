"""Who can be called, and what they charge."""
