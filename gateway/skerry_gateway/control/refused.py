"""The error of requests that cannot be done: one sentence for the person who asked, with the value, what was expected and what to do."""

from skerry_core.errors import LocalError


class AdminError(LocalError):
    """Nothing was changed."""
