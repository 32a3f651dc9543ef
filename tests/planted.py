"""Secrets that were planted, looked for in every place where something is kept.

    hits = found({"token": "s3cr3t..."}, {"logs": folder(path), "MLflow": sqlite(file), "Airflow": postgres(dsn)})

A secret counts as found plain, quoted as in a URL, in JSON, in hex, and in base64 wherever it begins; what is packed
(zlib, gzip, zip) is unpacked first. A place yields (where, bytes); each reader opens nothing for writing.
"""

import base64
import gzip
import io
import json
import sqlite3
import subprocess
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

Place = Iterable[tuple[str, bytes]]
SHORTEST = 12  # characters: a shorter secret would be found by chance


@dataclass(frozen=True)
class Hit:
    """A secret where it must not be. The secret's own value is not kept."""

    secret: str
    """Its name."""
    place: str
    where: str
    how: str
    """plain, url, json, hex or base64."""


def found(secrets: Mapping[str, str], places: Mapping[str, Place]) -> list[Hit]:
    """Every secret in every place, once for each thing that holds it.

    Args:
        secrets: by name; distinctive, 12 characters at least.
        places: by name, of the readers below.
    """
    assert all(len(value) >= SHORTEST for value in secrets.values())
    needles = [(name, how, needle) for name, value in secrets.items() for how, needle in spellings(value)]
    hits: dict[Hit, None] = {}
    for place, things in places.items():
        for where, content in things:
            for text in [where.encode(errors="replace"), *unpacked(content)]:
                for name, how, needle in needles:
                    if needle in text:
                        hits[Hit(name, place, where, how)] = None
    return list(hits)


def spellings(secret: str) -> list[tuple[str, bytes]]:
    """How a secret may be written: (name of the spelling, bytes)."""
    raw = secret.encode()
    told = [("plain", raw), ("url", quote(secret, safe="").encode()), ("url", quote_plus(secret).encode())]
    told += [("json", json.dumps(secret)[1:-1].encode()), ("hex", raw.hex().encode()), ("hex", raw.hex().upper().encode())]
    for before in range(3):  # of the bytes in front of it, as base64 takes three together
        whole = base64.b64encode(b"\0" * before + raw)
        start, end = (before * 8 + 5) // 6, (before + len(raw)) * 8 // 6
        told += [("base64", whole[start:end]), ("base64", whole[start:end].translate(bytes.maketrans(b"+/", b"-_")))]
    return [(how, needle) for needle, how in {needle: how for how, needle in reversed(told)}.items()]


def unpacked(content: bytes) -> Iterator[bytes]:
    """A content, and what is packed in it."""
    yield content
    if content[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError, zlib.error):
            yield gzip.decompress(content)
    elif content[:1] == b"\x78":
        with suppress(zlib.error):
            yield zlib.decompress(content)
    elif content[:4] == b"PK\x03\x04":
        with suppress(zipfile.BadZipFile, NotImplementedError), zipfile.ZipFile(io.BytesIO(content)) as packed:
            for name in packed.namelist():
                yield packed.read(name)


def folder(path: Path, skip: Callable[[str], bool] = lambda name: False) -> Place:
    """Every file below a folder, and its name; links are not followed. A file that ends meanwhile is passed over."""
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_file() and not file.is_symlink() and not skip(name):
            with suppress(FileNotFoundError):
                yield name, file.read_bytes()


def sqlite(file: Path) -> Place:
    """Every row of every table."""
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):  # noqa: S608  a name out of the schema
                yield from _cells(table, row)


def postgres(dsn: str) -> Place:
    """Every row of every table, in every schema but the server's own."""
    import psycopg2  # noqa: PLC0415

    with closing(psycopg2.connect(dsn)) as database:
        database.set_session(readonly=True)
        with database.cursor() as cursor:
            ours = "table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
            cursor.execute(f"SELECT table_schema, table_name FROM information_schema.tables WHERE {ours}")  # noqa: S608
            for schema, table in cursor.fetchall():
                cursor.execute(f'SELECT * FROM "{schema}"."{table}"')  # noqa: S608  names out of the schema
                for row in cursor:
                    yield from _cells(f"{schema}.{table}", row)


def _cells(table: str, row: Iterable[Any]) -> Place:
    for value in row:
        if isinstance(value, bytes | memoryview):
            yield table, bytes(value)
        elif isinstance(value, dict | list):
            yield table, json.dumps(value, ensure_ascii=False, default=str).encode()
        elif value is not None:
            yield table, str(value).encode()


def redis(url: str) -> Place:
    """Every key of every database of a server, whatever its kind."""
    import redis as client  # noqa: PLC0415

    base = urlsplit(url)._replace(path="").geturl()
    with client.Redis.from_url(base) as server:
        numbers = [int(name.removeprefix("db")) for name in server.info("keyspace")]
    for number in numbers:
        with client.Redis.from_url(f"{base}/{number}") as server:
            for key in server.scan_iter():
                where = f"{number}/{key.decode(errors='replace')}"
                for value in _values(server, key):
                    yield where, value


def _values(server: Any, key: bytes) -> Iterator[bytes]:
    kind = server.type(key).decode()
    read: dict[str, Callable[[], Iterable[Any]]] = {
        "string": lambda: [server.get(key)],
        "list": lambda: server.lrange(key, 0, -1),
        "set": lambda: server.smembers(key),
        "zset": lambda: server.zrange(key, 0, -1),
        "hash": lambda: [part for pair in server.hgetall(key).items() for part in pair],
        "stream": lambda: [part for _, row in server.xrange(key) for pair in row.items() for part in pair],
    }
    yield from (value for value in read[kind]() if value is not None)


def bucket(name: str, **client: Any) -> Place:
    """Every object of an S3 bucket; `client`: what boto3.client("s3", ...) is given."""
    import boto3  # noqa: PLC0415

    store = boto3.client("s3", **client)
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=name):
        for one in page.get("Contents", []):
            yield one["Key"], store.get_object(Bucket=name, Key=one["Key"])["Body"].read()


def git(repository: Path) -> Place:
    """Every object that a git repository holds, of no ref too, and its references' names."""
    listed = subprocess.run(
        ["git", "for-each-ref"], cwd=repository, capture_output=True, check=True
    ).stdout  # fmt: skip
    yield "refs", listed
    asked = ["git", "cat-file", "--batch-all-objects", "--batch", "--buffer"]
    reader = io.BytesIO(subprocess.run(asked, cwd=repository, capture_output=True, check=True).stdout)
    while head := reader.readline():
        name, kind, size = head.decode().split()
        yield f"{kind} {name[:12]}", reader.read(int(size))
        reader.read(1)
