"""Migration 2: pre-auth keys know whether an administrator made them; those made before did without approval, and still do."""

STATEMENTS = ["ALTER TABLE keys ADD COLUMN approves BOOLEAN NOT NULL DEFAULT TRUE"]
