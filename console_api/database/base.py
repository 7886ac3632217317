"""What every table shares: names of constraints, column types, typed JSON."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from sqlalchemy import JSON, BigInteger, Dialect, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

#: Names are a part of the schema: a migration that drops a constraint has to know what it is called.
_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Id = Annotated[str, mapped_column(String(128))]
Name = Annotated[str, mapped_column(String(256))]
#: A word of a small vocabulary, such as a status.
Word = Annotated[str, mapped_column(String(32))]
LongText = Annotated[str, mapped_column(Text)]
#: Unix ms, UTC; 0 is never.
Ms = Annotated[int, mapped_column(BigInteger)]
Micro = Annotated[int, mapped_column(BigInteger)]


class Base(DeclarativeBase):
    """The declarative base of all tables."""

    metadata = MetaData(naming_convention=_CONVENTION)
    type_annotation_map = {int: BigInteger}


class Typed(TypeDecorator[Any]):
    """A `msgspec` type as JSON. What does not fit the type is refused on the way in and on the way out."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        plain = msgspec.to_builtins(value)
        msgspec.convert(plain, self.kind)
        return plain

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else msgspec.convert(value, self.kind)


def one_of(column: str, *words: str) -> str:
    """Return the condition of a check constraint: the column holds one of these words."""
    return f"{column} IN ({', '.join(repr(word) for word in words)})"
