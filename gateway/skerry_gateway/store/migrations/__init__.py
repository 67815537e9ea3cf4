"""The numbered migrations, in order. A published migration never changes; a new one is appended.

Each is a list of statements; `{id}` stands for the dialect's ever-increasing primary key (ids are never reused).
"""

from .m0001_first_tables import STATEMENTS as _FIRST_TABLES
from .m0002_approving_keys import STATEMENTS as _APPROVING_KEYS
from .m0003_dns import STATEMENTS as _DNS
from .m0004_policy_reasons import STATEMENTS as _POLICY_REASONS

MIGRATIONS: list[list[str]] = [_FIRST_TABLES, _APPROVING_KEYS, _DNS, _POLICY_REASONS]
