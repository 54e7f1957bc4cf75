"""Convert prices and times by the security definition of each symbol."""
