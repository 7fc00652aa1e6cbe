"""Would `docker compose up` work? Every service's exact command, environment and health check, on the embedded parts.

No engine is needed: the compose file is read, its host names and ports are put on free ports of this machine, and the
services are started in the order that `depends_on` gives. What stays untested here is the building of the image.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path

import asyncpg
import httpx
import pandas
import pytest
import yaml

from embedded.process import HOST
from stream.reader import LOGIN
from tests.compose.services import (
    COMPOSE,
    OURS,
    ROOT,
    SERVICES,
    WAIT_S,
    Ports,
    command,
    environment,
    interpolated,
)

PROVISIONING = ROOT / "dashboards" / "grafana" / "provisioning"
DATA_SOURCES = yaml.safe_load((PROVISIONING / "datasources" / "timescaledb.yaml").read_text())["datasources"]
SNIPPETS = [
    snippet
    for page in ("docs/integrate.md", "README.md")
    for snippet in re.findall(r"```(bash|python)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
]


def test_the_services_run_with_their_exact_commands_and_count_an_event(running: Ports) -> None:
    headers = {"X-API-Key": "demo-key"}
    with httpx.Client(base_url=f"http://{HOST}:{running.api}/api/v1", headers=headers, timeout=30) as api:
        assert api.get("/health").json() == {"status": "ok"}
        project = f"compose-{uuid.uuid4().hex[:8]}"
        assert api.post("/projects", json={"project_id": project, "zone": "UTC"}).status_code == 201
        event = {"project_id": project, "model_id": "m", "latency_ms": 12.0, "features": {"age": 41}}
        assert api.post("/events", json=event).json()["accepted"] == 1

        deadline = time.monotonic() + WAIT_S
        while not (rows := api.get("/metrics/daily", params={"project_id": project}).json()["items"]):
            assert time.monotonic() < deadline, "the event did not come out as a daily metric"
            time.sleep(0.1)
        assert (rows[0]["requests"], rows[0]["status"]) == (1, "provisional")


def test_every_snippet_of_the_integration_page_and_the_readme_runs_and_its_events_are_counted(
    running: Ports, tmp_path: Path
) -> None:
    """The README's ends without a flush: what is queued is sent when its process ends."""
    assert sum("ingest_event(" in text for _, text in SNIPPETS[-1:]) == 1
    url = f"http://{HOST}:{running.api}"
    ages, countries = [20 + row % 60 for row in range(2000)], ["CA", "US", "FR", "NP"] * 500
    pandas.DataFrame({"age": ages, "country": countries, "churned": countries}).to_parquet(
        tmp_path / "train.parquet"
    )
    env = os.environ | {
        "ML_GUARD_URL": url,
        "ML_GUARD_API_KEY": "demo-key",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for language, text in SNIPPETS:
        placed = text.replace("http://localhost:8000", url).replace(
            "localhost:9092", f"{HOST}:{running.kafka}"
        )
        placed = placed.replace("/tmp/ml-guard-spill", str(tmp_path / "spill"))
        shell = [sys.executable, "-c"] if language == "python" else ["bash", "-euo", "pipefail", "-c"]
        done = subprocess.run(
            [*shell, placed], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr

    wanted = {"churn_v1": 7, "churn_batch": 2}
    deadline, counted = time.monotonic() + WAIT_S, dict[str, int]()
    while counted != wanted:
        if time.monotonic() > deadline:
            pytest.fail(f"counted {counted}, sent {wanted}")
        time.sleep(0.1)
        answer = httpx.get(
            f"{url}/api/v1/metrics/daily",
            params={"project_id": "shop"},
            headers={"X-API-Key": "demo-key"},
            timeout=30,
        )
        counted = {row["model_id"]: row["requests"] for row in answer.json()["items"]}


@pytest.mark.parametrize("service", OURS)
def test_in_production_no_service_starts_on_a_demo_credential(service: str) -> None:
    env = environment(service, Ports()) | {"ML_GUARD_ENV": "production"}
    done = subprocess.run(
        command(service), env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "demo" in done.stdout + done.stderr
    assert "demo-key" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


async def test_grafanas_login_reads_the_database_that_migrate_made_it_in(running: Ports) -> None:
    """The user and password that its data source is provisioned with, at the address of the compose file."""
    (source,) = DATA_SOURCES
    settings = environment("grafana", running)
    place, _, port = settings["ML_GUARD_GRAFANA_DATABASE"].rpartition(":")
    connection = await asyncpg.connect(
        host=place,
        port=int(port),
        user=source["user"],
        password=settings["ML_GUARD_GRAFANA_PASSWORD"],
        database=source["jsonData"]["database"],
    )
    try:
        assert source["user"] == LOGIN
        assert await connection.fetchval("select session_user::text") == LOGIN
        published = await connection.fetchval("select url from ml_guard.pages where page = 'dashboard'")
        assert published.removeprefix("http://") in SERVICES["dashboard"]["ports"][0]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("select * from ml_guard.api_key")
    finally:
        await connection.close()


@pytest.mark.parametrize(("service", "login"), [("api", "ml_guard_api"), ("stream", "ml_guard_worker")])
async def test_api_and_workers_work_as_logins_that_cannot_change_the_schema(
    running: Ports, service: str, login: str
) -> None:
    """What the tests above sent was taken, folded and shown by services with these addresses."""
    connection = await asyncpg.connect(environment(service, running)["ML_GUARD_DATABASE_URL"])
    try:
        assert await connection.fetchval("select session_user::text") == login
        for statement in (
            "create table ml_guard.another (a int)",
            "alter table ml_guard.project add column a int",
            "drop table ml_guard.project",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


def test_everything_that_grafana_is_provisioned_with_is_there() -> None:
    grafana = SERVICES["grafana"]
    (source,) = DATA_SOURCES
    wanted = {word[1:] for word in re.findall(r"\$[A-Z_]+", str(source))}
    assert wanted == {"ML_GUARD_GRAFANA_DATABASE", "ML_GUARD_GRAFANA_SSLMODE", "ML_GUARD_GRAFANA_PASSWORD"}
    assert wanted <= grafana["environment"].keys()
    mounted = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    assert all(volume.endswith(":ro") for volume in grafana["volumes"])
    inside = {target: ROOT / path for path, target in mounted.items()}
    assert (inside["/etc/grafana/provisioning"] / "datasources" / "timescaledb.yaml").is_file()
    provider = yaml.safe_load(
        (inside["/etc/grafana/provisioning"] / "dashboards" / "ml_guard.yaml").read_text()
    )
    boards = inside[provider["providers"][0]["options"]["path"]]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (boards / Path(home).name).is_file()
    assert inside[grafana["entrypoint"][1]].is_file()


def test_nobody_sees_grafana_without_logging_in() -> None:
    settings = SERVICES["grafana"]["environment"]
    assert settings["GF_AUTH_ANONYMOUS_ENABLED"] == settings["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert SERVICES["grafana"]["profiles"] == ["grafana"]


@pytest.mark.parametrize(
    ("changed", "starts"),
    [
        ({}, True),
        ({"ML_GUARD_ENV": "production"}, False),
        ({"ML_GUARD_ENV": "production", "GF_SECURITY_ADMIN_PASSWORD": "own"}, False),
        ({"ML_GUARD_ENV": "production", "ML_GUARD_GRAFANA_PASSWORD": "own"}, False),
        (
            {
                "ML_GUARD_ENV": "production",
                "GF_SECURITY_ADMIN_PASSWORD": "own",
                "ML_GUARD_GRAFANA_PASSWORD": "",
            },
            False,
        ),
        (
            {
                "ML_GUARD_ENV": "production",
                "GF_SECURITY_ADMIN_PASSWORD": "admin",
                "ML_GUARD_GRAFANA_PASSWORD": "own",
            },
            False,
        ),
        (
            {
                "ML_GUARD_ENV": "production",
                "GF_SECURITY_ADMIN_PASSWORD": "own",
                "ML_GUARD_GRAFANA_PASSWORD": "own",
            },
            True,
        ),
    ],
)
def test_in_production_grafana_does_not_start_on_a_demo_credential(
    changed: dict[str, str], starts: bool
) -> None:
    """The script that the container begins with, in front of a program that stands for the image's own."""
    shell, script, image_starts = SERVICES["grafana"]["entrypoint"]
    assert image_starts == "/run.sh"
    mounted = {volume.split(":")[1]: ROOT / volume.split(":")[0] for volume in SERVICES["grafana"]["volumes"]}
    done = subprocess.run(
        [shell, str(mounted[script]), "echo", "started"],
        env=environment("grafana", Ports()) | changed,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert (done.returncode == 0, done.stdout) == (starts, "started\n" if starts else "")
    assert starts or "refuses demo credentials" in done.stderr
    assert "own" not in done.stderr.split()


def test_every_published_port_is_bound_to_loopback() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)


def test_awss_credentials_are_mounted_read_only_and_an_unset_variable_is_not_handed_on_empty() -> None:
    for name in ("api", "stream"):
        (mount,) = SERVICES[name]["volumes"]
        assert mount == "${ML_GUARD_AWS_DIR:-aws}:/srv/ml-guard/.aws:ro"
        given = SERVICES[name]["environment"]
        aws = {variable for variable in given if variable.startswith("AWS_")}
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CE_REGION"} < aws
        assert {given[variable] for variable in aws} == {None}  # an empty AWS_PROFILE would be looked for
    assert "aws" in COMPOSE["volumes"]
    home = re.search(r"--home-dir (\S+)", (ROOT / "Dockerfile").read_text())
    assert home is not None
    assert home[1] == "/srv/ml-guard"


def test_alerts_link_to_the_published_dashboard() -> None:
    (published,) = SERVICES["dashboard"]["ports"]
    for service in ("stream", "api", "dashboard"):
        url = interpolated(SERVICES[service]["environment"]["ML_GUARD_PUBLIC_URL"])
        assert url == f"http://{published.removesuffix(':8501')}"


def test_every_foreign_image_has_an_exact_version() -> None:
    images = {name: service["image"] for name, service in SERVICES.items() if "build" not in service}
    assert set(images) == {"kafka", "timescaledb", "grafana"}
    assert all(re.search(r":\d+\.\d+\.\d+", image) for image in images.values())


def test_every_service_that_stays_up_has_a_health_check() -> None:
    assert [
        name
        for name, service in SERVICES.items()
        if service.get("restart") != "no" and "healthcheck" not in service
    ] == []


def test_the_demo_settings_are_warned_of_at_the_head_of_the_file() -> None:
    head = (ROOT / "docker-compose.yml").read_text()[:600]
    assert "DEMO SETTINGS" in head
    assert "ML_GUARD_ENV=production" in head


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("up", "compose up --build --detach --wait"),
        ("down", "compose down --volumes --remove-orphans"),
    ],
)
def test_make_asks_docker_to_start_it_all_and_to_remove_it_with_its_data(
    target: str, asked: str, tmp_path: Path
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    docker.chmod(0o755)
    env = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "ML_GUARD_DATA_DIR": str(tmp_path / "no-stack"),
    }
    command = ["make", "--silent", "--old-file=.venv/.ready", target, "STACK=docker"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").read_text().splitlines() == [asked]
