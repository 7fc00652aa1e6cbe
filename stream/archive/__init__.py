"""Backups of everything and exports of a project: files that any ML Guard of the same schema reads, on any server."""
