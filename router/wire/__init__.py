"""The wires: the JSON languages that providers speak. Pure: bytes in, values out."""
