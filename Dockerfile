# One image for every service of ML Guard; the command chooses (docker-compose.yml).
FROM python:3.11.13-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --system --create-home --home-dir /srv/ml-guard ml-guard
WORKDIR /srv/ml-guard

COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt

COPY pyproject.toml README.md ./
COPY sdk ./sdk
COPY stream ./stream
COPY api ./api
COPY sql ./sql
COPY dashboards ./dashboards
RUN pip install --no-build-isolation --no-deps -e .

USER ml-guard
CMD ["ml-guard", "--help"]
