"""Match simulated orders, and keep the accounts."""
