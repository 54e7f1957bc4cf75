"""Connect to the DTC server over WebSocket, and reconnect."""
