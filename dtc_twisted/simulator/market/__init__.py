"""Simulate instruments, their market and their history."""
