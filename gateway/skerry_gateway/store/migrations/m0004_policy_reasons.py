"""Migration 4: each version of the policy has a reason."""

STATEMENTS = ["ALTER TABLE policies ADD COLUMN reason VARCHAR(500) NOT NULL DEFAULT ''"]
