"""Rows come out of a database as they went into another one."""

import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, Boolean, Column, Date, Double, Integer, LargeBinary, MetaData, String, Table, delete
from sqlalchemy.dialects.postgresql import JSONB

from advanced_rag.exceptions import BackupError
from advanced_rag.storage.backup import Restoration, Snapshot, shapes
from advanced_rag.storage.database import transaction
from advanced_rag.storage.migrations import migrate
from advanced_rag.storage.rows import Shape, decode, encode
from advanced_rag.storage.tables import UtcDateTime, metadata

ODD = Table(
    "odd",
    MetaData(),
    Column("text", String(100)),
    Column("int", Integer),
    Column("float", Double),
    Column("bool", Boolean),
    Column("time", UtcDateTime),
    Column("date", Date),
    Column("bytes", LargeBinary),
    Column("json", JSON().with_variant(JSONB(), "postgresql")),
)
SHAPE = Shape("odd", tuple((column.name, column.name) for column in ODD.columns))

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50)
zones = st.integers(-12, 12).map(lambda hours: timezone(timedelta(hours=hours)))
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9).map(lambda x: round(x, 6)) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
rows = st.tuples(
    st.none() | words,
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.floats(allow_nan=False, allow_subnormal=False),
    st.none() | st.booleans(),
    st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=zones),  # noqa: DTZ001 - bounds have none
    st.none() | st.dates(date(1900, 1, 1)),
    st.none() | st.binary(max_size=50),
    st.none() | documents.map(json.dumps),
)


def told_apart(row: dict) -> dict:
    """Return a row with its JSON read: databases keep what it says, not how it is written."""
    return {**row, "json": None if row["json"] is None else ("json", json.loads(row["json"]))}


@given(rows)
def test_a_line_holds_the_whole_row(row):
    line = encode(SHAPE, row)
    assert line.count(b"\n") == 1
    assert tuple(decode(SHAPE, line).values()) == row


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, max_size=5))
def test_a_database_gives_back_what_was_loaded(odd, some):
    with transaction(odd) as connection:
        connection.execute(delete(ODD))
        assert Restoration(connection).load(SHAPE, [encode(SHAPE, row) for row in some]) == len(some)
        lines = list(Snapshot(connection).lines(SHAPE))
    found = [told_apart(decode(SHAPE, line)) for line in lines]
    wanted = [told_apart(dict(zip(ODD.columns.keys(), row, strict=True))) for row in some]
    assert sorted(found, key=repr) == sorted(([_utc(row) for row in wanted]), key=repr)


def _utc(row: dict) -> dict:
    return {**row, "time": row["time"] and row["time"].astimezone(UTC)}


@pytest.fixture
def odd(engine):
    migrate(engine)
    ODD.create(engine)
    return engine


def test_infinity_survives():
    shape = Shape("t", (("a", "float"),))
    assert decode(shape, encode(shape, [float("-inf")])) == {"a": float("-inf")}


def test_every_column_of_every_table_can_be_backed_up(engine):
    migrate(engine)
    with engine.connect() as connection:
        found = {shape.name: {name for name, _ in shape.columns} for shape in shapes(connection)}
    left_out = {"refresh_tokens", "tickets"}
    assert found == {table.name: set(table.columns.keys()) for table in metadata.sorted_tables if table.name not in left_out}


def test_no_table_counts_by_itself():
    """A sequence would begin anew after a restore, and give numbers that are taken."""
    assert [table.name for table in metadata.sorted_tables if table.autoincrement_column is not None] == []


def test_a_column_of_an_unknown_kind_is_named(engine):
    migrate(engine)
    with transaction(engine) as connection:
        connection.exec_driver_sql("ALTER TABLE feedback ADD COLUMN price NUMERIC(10, 2)")
        with pytest.raises(BackupError, match="NUMERIC"):
            shapes(connection)
