"""Serve REST and WebSocket clients."""
