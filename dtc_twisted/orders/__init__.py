"""Orders: what callers want done, and the live view of orders, positions and balances."""
