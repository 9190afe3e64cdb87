"""What may be called and what it may cost: pure, without I/O and without a clock of its own."""
