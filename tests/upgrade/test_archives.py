"""Do yesterday's backup and what Kafka holds equal the unbroken run, and does an export read the same elsewhere?"""

from __future__ import annotations

import hashlib
import json
import resource
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ml_guard.cli.app import run
from stream.archive import file
from stream.archive.file import (
    ArchiveError,
    ArchiveVersionError,
    BrokenArchiveError,
    OccupiedError,
    opened,
)
from stream.archive.loading import import_project, restore
from stream.archive.taking import take
from stream.ingest.misfit import ACCEPT
from stream.migrate import read
from stream.store.deletion import delete_project
from stream.store.tables import stored_tables
from tests.chaos.native import Native
from tests.conftest import run_apart
from tests.ingest.conftest import MakeBench, benches
from tests.ingest.product import Product
from tests.sql.test_compression import compress
from tests.upgrade.conftest import contents, finishes, resumed, since, unbalanced

pytestmark = pytest.mark.stack


async def lose(url: str) -> None:
    """The database is gone; a new one answers in its place."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("drop schema ml_guard cascade")
    finally:
        await connection.close()


async def marks(connection: asyncpg.Connection[Any] | asyncpg.Pool[Any]) -> list[int]:
    """By what running workers know that something is not theirs any more, or new."""
    rows = await connection.fetch(
        """select 'fence' || "partition" as mark, epoch as number from ml_guard.stream_fence
           union all select 'lease' || name, epoch from ml_guard.lease
           union all select 'catalog', generation from ml_guard.catalog order by mark"""
    )
    return [row["number"] for row in rows]


def texts(path: Path) -> dict[str, list[bytes]]:
    """Every row of an archive, in order."""
    with opened(path) as archive:
        return {
            table.name: sorted(line for piece in archive.pieces(table) for line in piece.splitlines())
            for table in archive.manifest.tables
        }


async def test_a_backup_and_what_kafka_holds_equal_the_run_that_never_broke(
    product: Product, make_bench: MakeBench, module_database_url: str, tmp_path: Path
) -> None:
    url, path, logs = module_database_url, tmp_path / "b.zip", product.worker.logs
    steps: list[tuple[int, int]] = []
    owner = await asyncpg.connect(url)
    for table in ("day_sketch", "bin_count", "traffic_minute"):
        assert await compress(owner, table)  # as days of two weeks ago are
    held = await take(url, path, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (held.rows, held.rows) != (0, 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    noon, fence = product.clock.now, len(logs.records[0])
    for shard in (0, 1):
        logs.append(shard, *since(), at=noon)
    await finishes(product)
    async with product.worker.pool.acquire() as connection:
        unbroken = await contents(connection)
        seen = await connection.fetchval("select max(change_id) from ml_guard.metric_day")
    assert [row["revision"] for row in map(json.loads, unbroken["metric_day"])] == [1, 2, 1]
    await owner.execute("update ml_guard.stream_fence set epoch = epoch + 5")
    await owner.execute("update ml_guard.lease set epoch = epoch + 5")
    await owner.execute("update ml_guard.catalog set generation = generation + 5")
    given = await marks(owner)
    await owner.close()

    await lose(url)
    assert await restore(url, path) == held
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
        minutes = await pool.fetchval("select sum(requests)::bigint from ml_guard.traffic_minute")
        assert await pool.fetchval("select sum(requests)::bigint from ml_guard.traffic_day_utc") == minutes
        restored = await marks(pool)
    assert all(new > old for new, old in zip(restored, given, strict=True))
    # Partition 0's log begins behind its fence, as if the retention had passed it: it stands still and names the gap.
    logs.first[0] = fence + 4
    stopped = await resumed(make_bench, logs, noon)
    reason = stopped.worker.ingestion.claims.stopped[0]
    assert f"offsets {fence} to {fence + 3}" in reason
    assert ACCEPT in reason
    assert 1 in stopped.worker.ingestion.claims.partitions
    # With all of it, the same events come to the same.
    logs.first.clear()
    again = await resumed(make_bench, logs, noon)
    async with again.worker.pool.acquire() as connection:
        await finishes(again)
        assert await contents(connection) == unbroken
        assert await unbalanced(connection) == 0
        assert await connection.fetchval("select max(change_id) from ml_guard.metric_day") > seen


async def test_an_export_reads_the_same_on_another_server_and_its_project_goes_on_there(
    product: Product, native: Native, module_database_url: str, tmp_path: Path
) -> None:
    there, path = await native.database(), tmp_path / "w.zip"
    held = await take(module_database_url, path, project_id="w")
    async with benches(there) as make:
        neighbour = await make()  # and its project p
        assert (await import_project(there, path)).rows == held.rows
        await take(there, tmp_path / "back.zip", project_id="w")
        assert texts(tmp_path / "back.zip") == texts(path)
        assert len([rows for rows in texts(path).values() if rows]) >= 12
        with pytest.raises(OccupiedError, match="there is a project 'w' already"):
            await import_project(there, path)
        # The log of the new place begins at 0; the project's state goes on all the same.
        noon, logs = product.clock.now, neighbour.logs
        for shard, before in ((0, product.worker.logs), (1, product.worker.logs)):
            before.append(shard, *since()[1:], at=noon)
            logs.append(shard, *since()[1:], at=noon)
        moved = await resumed(make, logs, noon)
        await finishes(moved)
        await finishes(product)
        async with moved.worker.pool.acquire() as here, product.worker.pool.acquire() as home:
            new, old = await contents(here), await contents(home)
            for table in ("day_sketch", "bin_count", "traffic_minute", "metric_day", "feature_day"):
                assert new[table] == old[table], table
            assert await unbalanced(here) == 0


async def test_a_backup_of_the_embedded_stack_is_restored_on_a_real_server(
    product: Product, native: Native, module_database_url: str, tmp_path: Path
) -> None:
    there, path = await native.database(), tmp_path / "b.zip"
    await take(module_database_url, path)
    connection = await asyncpg.connect(there)
    await connection.execute(
        "insert into ml_guard.api_key (key_id, name, key_sha256, scopes) values ('own', 'n', 'x', '{read}')"
    )
    await restore(there, path)
    assert await connection.fetchval("select count(*) from ml_guard.api_key") == 1, (
        "the stack's own key stays"
    )
    async with product.worker.pool.acquire() as home:
        assert await contents(connection) == await contents(home)
    await connection.close()


def with_manifest(path: Path, to: Path, **changed: object) -> Path:
    """The archive with another manifest."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "manifest.json":
                data = json.dumps(json.loads(data) | changed).encode()
            new.writestr(name, data)
    return to


async def test_what_cannot_be_restored_is_refused_in_a_sentence_and_nothing_is_written(
    product: Product, module_database_url: str, tmp_path: Path
) -> None:
    url, path = module_database_url, tmp_path / "b.zip"
    held = await take(url, path)
    with pytest.raises(OccupiedError, match=r"the database is not empty \(table project has rows\)"):
        await restore(url, path)
    with pytest.raises(OccupiedError, match="there already: choose another name, or give --overwrite"):
        await take(url, path)
    await take(url, path, overwrite=True)
    with pytest.raises(ArchiveError, match="there is no project 'nobody'"):
        await take(url, tmp_path / "n.zip", project_id="nobody")
    with pytest.raises(ArchiveError, match="cannot be written"):
        await take(url, tmp_path / "no folder" / "b.zip")
    await take(url, tmp_path / "w.zip", project_id="w")
    with pytest.raises(ArchiveError, match="the export of project w: `ml-guard import`"):
        await restore(url, tmp_path / "w.zip")
    with pytest.raises(ArchiveError, match="a backup of everything: `ml-guard restore`"):
        await import_project(url, path)

    newest = [{"number": m.number, "name": m.name, "sha256": m.sha256} for m in read()]
    later = [*newest, {"number": 999, "name": "later", "sha256": "0"}]
    other = [newest[0] | {"sha256": "0"}, *newest[1:]]
    for changed, said in (
        ({"migrations": later}, "made by a newer ML Guard"),
        ({"migrations": other}, "is not the one of this version"),
        ({"format": 2}, "has format 2, this ML Guard reads 1"),
    ):
        with pytest.raises(ArchiveVersionError, match=said):
            await restore(url, with_manifest(path, tmp_path / "changed.zip", **changed))
    await take(url, tmp_path / "w.zip", project_id="w", overwrite=True)
    with pytest.raises(ArchiveVersionError, match="bring both to the same version"):
        await import_project(
            url, with_manifest(tmp_path / "w.zip", tmp_path / "v.zip", migrations=newest[:-1])
        )

    data = path.read_bytes()
    with zipfile.ZipFile(path) as whole:
        largest = max(whole.infolist(), key=lambda member: member.compress_size)
    middle = largest.header_offset + largest.compress_size // 2
    for broken, said in (
        (data[:-100], "was cut off"),
        (b"", "was cut off"),
        (
            data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
            f"is damaged at table {largest.filename.removesuffix('.copy')}",
        ),
    ):
        (tmp_path / "broken.zip").write_bytes(broken)
        with pytest.raises(BrokenArchiveError, match=said):
            await restore(url, tmp_path / "broken.zip")
    fewer = [
        table.__class__(name=table.name, columns=table.columns, rows=table.rows + 1, sha256=table.sha256)
        for table in held.tables
    ]
    lying = [{"name": t.name, "columns": t.columns, "rows": t.rows, "sha256": t.sha256} for t in fewer]
    with pytest.raises(BrokenArchiveError, match="was changed since it was written"):
        await restore(url, with_manifest(path, tmp_path / "lying.zip", tables=lying))
    assert sorted(found.name for found in tmp_path.iterdir() if found.name.startswith(".")) == []


async def test_an_export_that_holds_more_than_its_project_is_refused_and_nothing_is_written(
    product: Product, native: Native, module_database_url: str, tmp_path: Path
) -> None:
    """Its checksums are its maker's: a file from elsewhere may bring no key, no fence and no row of another project."""
    there, path = await native.database(), tmp_path / "w.zip"
    await take(module_database_url, path, project_id="w")
    connection = await asyncpg.connect(there)
    everything = [table.name for table in await stored_tables(connection)]
    before = {
        name: await connection.fetchval(f'select count(*) from ml_guard."{name}"') for name in everything
    }
    columns = ["key_id", "name", "key_sha256", "scopes"]
    for table, added, row in (
        ("api_key", columns, b"k\tmine\tabc\t{admin}\n"),
        ("project", ["project_id"], b"w\nother\n"),
        ("client_count", ["project_id", "day", "client_id", "outcome", "reason", "events"],
         b"w\t2025-01-06\tc\tsent\t\t1\nother\t2025-01-06\tc\tsent\t\t1\n"),
        ("dead_letter", ["project_id"], b"w\n"),
    ):  # fmt: skip
        with pytest.raises(BrokenArchiveError, match=f"more than project w, in {table}"):
            await import_project(there, with_rows(path, tmp_path / "more.zip", table, added, row))
        assert before == {
            name: await connection.fetchval(f'select count(*) from ml_guard."{name}"') for name in everything
        }
    await connection.close()


HEAD: dict[str, object] = {
    "format": 1, "kind": "export", "project_id": "w", "made_at": "2025-01-01T00:00:00Z", "made_by": "x",
    "migrations": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        (b"[" * 200_000, b""),
        (b" " * 2_000_000, b""),
        (b"{}", b""),
        (b"row", b"x" * 3_000_000 + b"\n"),
        (b"encrypted", b""),
        (b"packed otherwise", b""),
    ],
)
def test_no_zip_takes_memory_or_ends_in_anything_but_a_sentence(
    manifest: bytes, text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever made it may have written into it whatever they liked."""
    monkeypatch.setattr(file, "MANIFEST_BYTES", 1_000_000)
    monkeypatch.setattr(file, "ROW_BYTES", 2_000_000)
    path = tmp_path / "x.zip"
    held = {
        "name": "project",
        "columns": ["project_id"],
        "rows": 1,
        "sha256": hashlib.sha256(text).hexdigest(),
    }
    good = json.dumps(HEAD | {"tables": [held]})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("project.copy", text or b"w\n")
        archive.writestr("manifest.json", manifest if manifest[:1] in b"[ {" else good)
    data = bytearray(path.read_bytes())
    last = data.rfind(b"PK\x01\x02")
    data[last + 8] |= manifest == b"encrypted"
    data[last + 10] = 99 if manifest == b"packed otherwise" else data[last + 10]
    path.write_bytes(data)
    with pytest.raises(BrokenArchiveError), opened(path):
        pass


def with_rows(path: Path, to: Path, table: str, columns: list[str], rows: bytes) -> Path:
    """The archive with other rows of a table, and a manifest that fits them."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        manifest = json.loads(old.read("manifest.json"))
        held = {"name": table, "columns": columns, "rows": rows.count(b"\n")}
        held["sha256"] = hashlib.sha256(rows).hexdigest()
        tables = {one["name"]: one for one in manifest["tables"]} | {table: held}
        manifest["tables"] = list(tables.values())
        for name in old.namelist():
            if name not in ("manifest.json", f"{table}.copy"):
                new.writestr(name, old.read(name))
        new.writestr(f"{table}.copy", rows)
        new.writestr("manifest.json", json.dumps(manifest))
    return to


def test_the_commands_say_what_they_wrote_and_what_they_refuse(
    module_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ML_GUARD_DATABASE_URL", module_database_url)

    def typed(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([*words[:1], str(tmp_path / "b.zip"), *words[1:]])
        return (code, *capsys.readouterr())

    run_apart(_made(module_database_url))
    code, out, _ = typed("backup")
    assert code == 0
    assert "b.zip has everything as of" in "".join(out.split("\n"))
    assert f"schema {max(m.number for m in read()):03}" in out
    code, _, err = typed("restore")
    assert code == 2
    assert "the database is not empty" in err
    shell = (
        sys.executable,
        "-c",
        "from ml_guard.cli import main; main()",
        "backup",
        str(tmp_path / "full.zip"),
    )
    full = subprocess.run(shell, capture_output=True, text=True, check=False, preexec_fn=_little_room)
    assert full.returncode == 2
    assert "cannot be written (File too large); nothing of it is left" in " ".join(full.stderr.split())
    assert sorted(found.name for found in tmp_path.iterdir()) == ["b.zip"]
    with monkeypatch.context() as wrong:
        wrong.setenv(
            "ML_GUARD_DATABASE_URL", module_database_url.replace("ml_guard:ml_guard@", "ml_guard:x@")
        )
        code, _, err = typed("backup", "--overwrite")
        assert code == 2
        assert "password" in err
        assert "ml_guard:x" not in err
    run_apart(lose(module_database_url))
    code, out, _ = typed("restore", "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["kind"], told["rows"]["project"]) == ("backup", 1)
    assert typed("export", "--project", "w")[0] == 2, "the file is there"
    code, out, _ = typed("export", "--project", "w", "--overwrite")
    assert code == 0
    assert "b.zip has project w" in "".join(out.split("\n"))
    code, _, err = typed("import")
    assert code == 2
    assert "there is a project 'w' already" in err
    run_apart(_gone(module_database_url))
    code, out, _ = typed("import")
    assert code == 0
    assert "Project w was imported" in out


def _little_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))


async def _made(url: str) -> None:
    connection = await asyncpg.connect(url)
    await delete_project(connection, "w", deleted_by="k", topics={})
    await delete_project(connection, "p", deleted_by="k", topics={})
    await connection.execute("insert into ml_guard.project (project_id) values ('w')")
    await connection.close()


async def _gone(url: str) -> None:
    connection = await asyncpg.connect(url)
    await delete_project(connection, "w", deleted_by="k", topics={})
    await connection.close()
