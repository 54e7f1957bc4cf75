"""A gateway from Sierra Chart's DTC server to REST and WebSocket: `twistd dtc`."""

__version__ = "0.1.0"
