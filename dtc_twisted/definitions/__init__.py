"""Convert prices and times by what the server says of each symbol."""
