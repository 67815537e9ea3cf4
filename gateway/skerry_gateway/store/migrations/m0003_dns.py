"""Migration 3: a network has DNS settings; {} are the defaults (MagicDNS on, nothing else)."""

STATEMENTS = ["ALTER TABLE networks ADD COLUMN dns JSON NOT NULL DEFAULT '{{}}'"]
