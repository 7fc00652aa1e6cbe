"""Which boards does Grafana get? Built here, committed as JSON in `boards/`, written by `python -m dashboards.grafana`."""
