"""Implement the DTC protocol without sockets: messages, encodings, session."""
