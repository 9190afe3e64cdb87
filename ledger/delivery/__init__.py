"""Entries on their way to others: a webhook, object storage. At least once, from what PostgreSQL remembers."""
