"""Protobuf messages from a table of the fields that are read; the rest is skipped.

The table says less than the `.proto` files, on purpose. What is not named costs nothing, and a part
that says the same in every message (labels, attributes) is declared as bytes, which it is on the
wire, and recognised without being parsed. Every field has presence, as in proto2, and text is bytes
until somebody needs it.
"""

from collections.abc import Mapping
from typing import Any, Final

from rollbackd.model.events import Rejected

#: Type -> its number in `google.protobuf.FieldDescriptorProto.Type`.
_TYPES: Final = {
    "double": 1,
    "int64": 3,
    "fixed64": 6,
    "bool": 8,
    "bytes": 12,
    "uint32": 13,
    "enum": 13,  # looks the same on the wire
    "sfixed64": 16,
}
_MESSAGE: Final = 11

#: Message -> field -> number and type: a plain one, another message, or a list of either.
Table = Mapping[str, Mapping[str, tuple[int, str | list[str]]]]


def messages(package: str, table: Table) -> dict[str, Any]:
    """A class for each message of the table. Raises ImportError without protobuf."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto  # noqa: PLC0415
    from google.protobuf.descriptor_pool import DescriptorPool  # noqa: PLC0415
    from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415

    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for message, fields in table.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            plain = kind[0] if isinstance(kind, list) else kind
            field = described.field.add(name=name, number=number)
            field.label = 3 if isinstance(kind, list) else 1
            field.type = _TYPES.get(plain, _MESSAGE)
            if plain in table:
                field.type_name = f".{package}.{plain}"
    pool = DescriptorPool()
    pool.Add(file)
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in table
    }


def parsed(message: Any, body: bytes, what: str) -> Any:
    """The message of these bytes. Raises Rejected."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    try:
        return message.FromString(body)
    except DecodeError as error:
        raise Rejected(f"not a protobuf {what}: {error}") from None
