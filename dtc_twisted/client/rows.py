"""Hold the answers of the API as messages."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET

from dtc_twisted.client.api_error import ApiError
from dtc_twisted.dtc.fields import MICROSECONDS, SECONDS, field_types, guessed_unit
from dtc_twisted.dtc.messages import Message, OrderStatusEnum, OrderUpdate

if TYPE_CHECKING:
    import pandas as pd

M = TypeVar("M", bound=Message)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOSED = {
    OrderStatusEnum.ORDER_STATUS_FILLED,
    OrderStatusEnum.ORDER_STATUS_CANCELED,
    OrderStatusEnum.ORDER_STATUS_REJECTED,
}
_MARKS = ("Reconciled", "Inferred", "Repeated")


class Rows(list[M], Generic[M]):
    """A list of messages of one type, or of a few types.

    kind: the type, also if the list is empty.
    """

    def __init__(self, rows: Iterable[M], kind: type[M]) -> None:
        super().__init__(rows)
        self.kind = kind

    def to_frame(self, index: str | None = None) -> "pd.DataFrame":
        """Return a pandas DataFrame with a column for each field.

        Date-times become timestamps in UTC. Unset fields become missing values. Fields that no row has are left out.

        index: the column that becomes the index; None: the rows are numbered.
        """
        import pandas as pd

        frame = pd.DataFrame([_frame_row(row) for row in self], columns=self._columns())
        return frame if index is None else frame.set_index(index)

    def _columns(self) -> list[str]:
        if not self:
            return list(self.kind.__struct_fields__)
        kinds: dict[type[Message], None] = dict.fromkeys(map(type, self))
        names = dict.fromkeys(name for kind in kinds for name in kind.__struct_fields__)
        return [name for name in names if any(getattr(row, name, UNSET) is not UNSET for row in self)]


def _frame_row(row: Message) -> dict[str, Any]:
    values = {name: value for name in row.__struct_fields__ if (value := getattr(row, name)) is not UNSET}
    for name in values:
        if field_types(type(row))[name].unit is not None:
            values[name] = time_of(row, name)
    return values


def time_of(message: Message, name: str) -> datetime | None:
    """Return a date-time field of a message, in UTC; None if it is unset or 0.

    Raises KeyError if the message has no such field, ValueError if the field is no date-time.
    """
    unit = field_types(type(message))[name].unit
    if unit is None:
        raise ValueError(f"{type(message).__name__}.{name} is no date-time.")
    value = getattr(message, name)
    if value is UNSET or not value:
        return None
    if unit < SECONDS:
        unit = guessed_unit(value, unit)
    return _EPOCH + timedelta(microseconds=round(value * (MICROSECONDS / unit)))


@dataclass(frozen=True)
class OrderResult:
    """An order as the gateway has it.

    update: the fields that the server stated last.
    outcome_unknown: why the outcome of a command is unknown; empty if it is known.
    reconciled: the state was found when the server was asked.
    inferred: it is a conclusion that no message of the server states.
    repeated: the command had been given before, and nothing was sent for this one.
    position, position_if_filled: of a checked order.
    """

    update: OrderUpdate
    outcome_unknown: str = ""
    reconciled: bool = False
    inferred: bool = False
    repeated: bool = False
    position: float | None = None
    position_if_filled: float | None = None
    updates: tuple[OrderUpdate, ...] = field(default=(), repr=False)
    """All updates of the order, oldest first, if one order was asked for."""

    @property
    def client_order_id(self) -> str:
        """The id that the sender gave the order; empty if there is none."""
        return self.update.ClientOrderID or ""

    @property
    def server_order_id(self) -> str:
        """The server's id of the order; empty if it is not known yet."""
        return self.update.ServerOrderID or ""

    @property
    def status(self) -> OrderStatusEnum:
        """The status that the server stated last."""
        status = self.update.OrderStatus  # of a number that DTC does not define too
        return OrderStatusEnum.ORDER_STATUS_UNSPECIFIED if status is UNSET else status

    @property
    def is_open(self) -> bool:
        """Whether the order may be open, by its status."""
        return self.status not in _CLOSED


@dataclass(frozen=True)
class Outcome:
    """The outcome of one command of a list.

    orders: the orders of a command that succeeded.
    error: why it failed; None if it succeeded.
    """

    orders: tuple[OrderResult, ...]
    error: ApiError | None = None


def message_from(fields: dict[str, Any], kind: type[M]) -> M:
    """Make a message of its fields by name. Other keys are ignored."""
    return msgspec.convert(fields, kind, strict=False)


def order_result(fields: dict[str, Any]) -> OrderResult:
    """Make an order of a row of the API."""
    update = message_from(fields | {"Type": OrderUpdate.Type}, OrderUpdate)
    marks = {name.lower(): bool(fields.get(name)) for name in _MARKS}
    return OrderResult(
        update,
        fields.get("OutcomeUnknown", ""),
        position=fields.get("PositionQuantity"),
        position_if_filled=fields.get("PositionIfFilled"),
        updates=tuple(message_from(each, OrderUpdate) for each in fields.get("Updates", ())),
        **marks,
    )
