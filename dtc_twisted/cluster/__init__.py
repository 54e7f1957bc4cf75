"""Serve one gateway's data on several machines, over NATS.

The origin is the gateway that is logged on to the DTC server. It publishes the updates of each symbol that an edge
asks for. An edge has the REST and WebSocket servers of the gateway, and takes its data from the origin.

Subjects, after the prefix:

    md.CHANNEL.SYMBOL   updates of a symbol (wire.py)
    beat                state of the origin, once a second
    demand              symbols that an edge needs, once a second
    account.CHANNEL     messages of the channels orders, positions and balances
    snapshot, accounts, request     requests of an edge, with an answer
    answer.EDGE.NUMBER  their answers
"""
