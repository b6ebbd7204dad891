"""The few messages of Milvus's gRPC protocol that are used here, with the fields that are used.

What is left out is skipped by protobuf when it is read and has its default when it is sent. The
generated modules of pymilvus say the same, but importing them takes pandas, half a second in which
nothing else moves, and 100 MB.

https://github.com/milvus-io/milvus-proto/blob/master/proto/milvus.proto
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_BOOL: Final = FieldDescriptorProto.TYPE_BOOL
_INT32: Final = FieldDescriptorProto.TYPE_INT32  # enums look the same on the wire
_STRING: Final = FieldDescriptorProto.TYPE_STRING
_PACKAGE: Final = "rollbackd.milvus"

#: Message -> field -> its number and its type: a plain one, another message, or a list of it.
FIELDS: Final[Mapping[str, Mapping[str, tuple[int, Any]]]] = MappingProxyType(
    {
        "Status": {
            "error_code": (1, _INT32),
            "reason": (2, _STRING),
            "code": (3, _INT32),
            "retriable": (4, _BOOL),
        },
        "KeyValuePair": {"key": (1, _STRING), "value": (2, _STRING)},
        "CollectionSchema": {"name": (1, _STRING), "description": (2, _STRING)},
        "AlterAliasRequest": {
            "db_name": (2, _STRING),
            "collection_name": (3, _STRING),
            "alias": (4, _STRING),
        },
        "DescribeAliasRequest": {"db_name": (2, _STRING), "alias": (3, _STRING)},
        "DescribeAliasResponse": {"status": (1, "Status"), "collection": (4, _STRING)},
        "DescribeCollectionRequest": {"db_name": (2, _STRING), "collection_name": (3, _STRING)},
        "DescribeCollectionResponse": {
            "status": (1, "Status"),
            "schema": (2, "CollectionSchema"),
            "collection_name": (12, _STRING),
            "properties": (13, ["KeyValuePair"]),
        },
        "GetCollectionStatisticsRequest": {
            "db_name": (2, _STRING),
            "collection_name": (3, _STRING),
        },
        "GetCollectionStatisticsResponse": {
            "status": (1, "Status"),
            "stats": (2, ["KeyValuePair"]),
        },
        "GetLoadStateRequest": {"collection_name": (2, _STRING), "db_name": (4, _STRING)},
        "GetLoadStateResponse": {"status": (1, "Status"), "state": (2, _INT32)},
    }
)


def _built() -> dict[str, Any]:
    file = FileDescriptorProto(name="rollbackd/milvus.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in FIELDS.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            repeated = isinstance(kind, list)
            inner = kind[0] if repeated else kind
            field = described.field.add(name=name, number=number)
            field.label = (
                FieldDescriptorProto.LABEL_REPEATED
                if repeated
                else FieldDescriptorProto.LABEL_OPTIONAL
            )
            if isinstance(inner, str):
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{inner}"
            else:
                field.type = inner
    pool = DescriptorPool()  # of its own: pymilvus may be in the same process
    pool.Add(file)
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in FIELDS
    }


#: The classes, by name.
MESSAGES: Final = MappingProxyType(_built())
