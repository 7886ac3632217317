"""Keeps SQL inside the database: no server files, no other hosts, no programs, no Python objects.

A ClickHouse server confines `file()` to one directory; chDB reads and writes any path of its process, finds
`FROM '/etc/passwd'` by itself, and its `default` user cannot be granted less. So the words are refused here,
in front of the engine. Names are allowed, not forbidden: what a later version adds stays refused.
"""

from __future__ import annotations

from stack.clickhouse import errors
from stack.clickhouse.errors import QueryError
from stack.clickhouse.tokens import Token, words

#: Functions and dictionary sources that leave the database, when a bracket follows.
_REFUSED_CALLS = words(
    """
    arrowstream azureblobstorage azureblobstoragecluster azurequeue bigquery cassandra cluster
    clusterallreplicas cosn deltalake deltalakeazure deltalakeazurecluster deltalakecluster deltalakelocal
    deltalakes3 deltalakes3cluster disk distributed eval executable executable_pool executablepool file
    filecluster filelog filesystem gcs hdfs hdfscluster http hudi hudicluster iceberg icebergazure
    icebergazurecluster icebergcluster iceberghdfs iceberghdfscluster icebergs3 iceberglocal
    iceberglocalcluster icebergs3cluster jdbc kafka mongo mongodb mysql nats odbc oss paimon paimonazure
    paimonazurecluster paimoncluster paimonhdfs paimonhdfscluster paimonlocal paimons3 paimons3cluster
    postgresql python rabbitmq redis remote remotesecure s3 s3cluster s3queue sqlite url urlcluster ytsaurus
    """
)
_ALLOWED_ENGINES = words(
    """
    atomic memory null log tinylog stripelog view materializedview buffer join set merge dictionary alias
    generaterandom mergetree replacingmergetree summingmergetree aggregatingmergetree collapsingmergetree
    versionedcollapsingmergetree graphitemergetree coalescingmergetree
    """
)
_NAMES_A_TABLE = (b"FROM", b"JOIN", b"INTO", b"TABLE", b"DESCRIBE", b"DESC", b"EXISTS", b".", b",", b"TO")


class OutsideAccess:
    """Sees a statement's tokens one by one and raises `QueryError` (497, or 358 for INTO OUTFILE)."""

    def __init__(self) -> None:
        self._before: Token | None = None
        self._engine = False
        self._creates = False

    def see(self, token: Token) -> None:
        before, self._before = self._before, token
        if before is None:
            self._creates = token.word in (b"CREATE", b"ATTACH", b"REPLACE")
            return
        if token.text == b"(" and before.name in _REFUSED_CALLS:
            raise _denied(f"{before.name}()")
        if token.word == b"OUTFILE" and before.word == b"INTO":
            raise QueryError(errors.INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed.")
        self._see_engine(before, token)
        if token.kind in ("literal", "quoted") and b"/" in token.text:
            _refuse_path(before, token)

    def _see_engine(self, before: Token, token: Token) -> None:
        if self._engine and token.name and token.name not in _ALLOWED_ENGINES:
            raise _denied(f"ENGINE = {token.name}")
        # Elsewhere `engine =` is a comparison with a column of system.tables.
        self._engine = self._creates and before.word == b"ENGINE" and token.text == b"="


def _refuse_path(before: Token, token: Token) -> None:
    table = (before.word or before.text) in _NAMES_A_TABLE
    # A string after a comma or `TO` is a value; a quoted name there may be a table.
    if table and (token.kind == "quoted" or before.word in _NAMES_A_TABLE[:7]):
        raise _denied("a table named by a file path")


def _denied(what: str) -> QueryError:
    return QueryError(
        errors.ACCESS_DENIED,
        f"default: Not enough privileges: {what} reaches outside of the database, which is not allowed here.",
    )
