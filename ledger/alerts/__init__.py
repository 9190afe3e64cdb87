"""What operators are told: kept once, delivered at least once, over each channel of the configuration."""
