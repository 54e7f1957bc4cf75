"""Implement the DTC protocol: messages, encodings and the session, without sockets."""
