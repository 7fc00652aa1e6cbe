"""Alerts: what is found in the results of days, the episodes that this makes, and the messages about them."""
