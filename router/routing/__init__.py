"""Which deployment answers a call: pure decisions over values that the engine holds."""
