"""Add what official headers do not state: senders and compact messages."""

from dataclasses import replace

from codegen.model import Field, Message, Protocol


def complete(protocol: Protocol, known: Protocol) -> Protocol:
    """Give messages without a sender the sender and the marks of `known`.

    A message that a client sends then starts without the zeros that C++ needs, except where `known` has them.
    """
    by_number = {message.number: message for message in known.messages}
    return replace(
        protocol,
        messages=tuple(
            _completed(message, by_number[message.number])
            if not message.sender and message.number in by_number
            else message
            for message in protocol.messages
        ),
    )


def _completed(message: Message, known: Message) -> Message:
    fields = message.fields
    if known.sender == "client":
        stated = {field.name for field in known.fields if field.default}
        fields = tuple(_without_zero(field) if field.name not in stated else field for field in fields)
    return replace(message, sender=known.sender, marks=known.marks, fields=fields)


def _without_zero(field: Field) -> Field:
    return replace(field, default=None) if field.default and not field.default.value else field
