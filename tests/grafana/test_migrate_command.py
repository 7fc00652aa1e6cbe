"""Does `ml-guard migrate` make Grafana's login and tell the boards where the dashboard is?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from stream.reader import LOGIN

ML_GUARD = str(Path(sys.executable).with_name("ml-guard"))


def migrate(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ML_GUARD_")}
    return subprocess.run(
        [ML_GUARD, "migrate", "--json"],
        env={**inherited, "ML_GUARD_DATA_DIR": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def page(url: str, password: str) -> str:
    """Where the dashboard is, as Grafana's login reads it."""
    place = urlsplit(url)
    connection = await asyncpg.connect(
        host=place.hostname, port=place.port, database=place.path[1:], user=LOGIN, password=password
    )
    try:
        return str(await connection.fetchval("select url from ml_guard.pages where page = 'dashboard'"))
    finally:
        await connection.close()


async def test_the_settings_become_the_login_and_the_address(database_url: str, tmp_path: Path) -> None:
    first = migrate(tmp_path, ML_GUARD_DATABASE_URL=database_url, ML_GUARD_GRAFANA_PASSWORD="first")
    assert (first.returncode, json.loads(first.stdout)["applied"]) == (0, []), first.stderr
    assert await page(database_url, "first") == "http://127.0.0.1:8501"

    changed = migrate(
        tmp_path,
        ML_GUARD_DATABASE_URL=database_url,
        ML_GUARD_GRAFANA_PASSWORD="second",
        ML_GUARD_PUBLIC_URL="https://guard.example/ml/",
    )
    assert changed.returncode == 0, changed.stderr
    assert await page(database_url, "second") == "https://guard.example/ml"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await page(database_url, "first")

    unset = migrate(tmp_path, ML_GUARD_DATABASE_URL=database_url)
    assert unset.returncode == 0, unset.stderr
    assert await page(database_url, "second") == "https://guard.example/ml"


def test_production_refuses_the_demos_password_for_grafana(tmp_path: Path) -> None:
    refused = migrate(
        tmp_path,
        ML_GUARD_ENV="production",
        ML_GUARD_DATABASE_URL="postgresql://app:own-password@127.0.0.1:1/ml_guard",
        ML_GUARD_GRAFANA_PASSWORD="ml_guard",
    )
    assert refused.returncode != 0
    assert "ML_GUARD_GRAFANA_PASSWORD is the demo's" in refused.stderr
    assert "own-password" not in refused.stderr + refused.stdout
