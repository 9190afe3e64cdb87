"""Measures the gateway as it is shipped, and proves that what it measured was whole: `python -m bench`."""
