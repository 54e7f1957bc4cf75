"""Describe the operations that control a replay."""

from dtc_twisted.web.openapi.operations import Operation, Schema

_TIME: Schema = {"type": "string", "format": "date-time"}
_SPEED: Schema = {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000}, {"const": "max"}]}
_TEXT = "With --replay only. Needs a token with the scope trade."

CLOCK_SCHEMA: Schema = {
    "type": "object",
    "description": "The clock of a replay. See docs/recording.md.",
    "properties": {
        "state": {"enum": ["waiting", "playing", "paused", "seeking", "ended"]},
        "time": _TIME,
        "speed": _SPEED,
        "from": _TIME,
        "to": _TIME,
        "loop": {"type": "boolean"},
        "folder": {"type": "string"},
    },
    "required": ["state", "time", "speed", "from", "to", "loop", "folder"],
    "additionalProperties": False,
}


def _operation(summary: str, body: Schema | None = None, example: object = None) -> Operation:
    return Operation(summary, "Replay", CLOCK_SCHEMA, body=body, example_body=example, text=_TEXT)


def _body(name: str, schema: Schema) -> Schema:
    return {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}


REPLAY_OPERATIONS = {
    "/replay/pause": _operation("Stop the clock of the replay"),
    "/replay/resume": _operation("Continue the replay"),
    "/replay/seek": _operation("Go to another time", _body("time", _TIME), {"time": "2026-11-25T14:30:00Z"}),
    "/replay/speed": _operation("Set the speed of the replay", _body("speed", _SPEED), {"speed": 10}),
}
