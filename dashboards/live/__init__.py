"""The live dashboard: is my model all right? It speaks to the API only. `python -m dashboards.live` serves it."""
