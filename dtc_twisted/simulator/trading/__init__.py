"""Match simulated orders, and account for their fills."""
