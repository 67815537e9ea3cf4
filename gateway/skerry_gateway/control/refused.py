"""The error of requests that cannot be done: one sentence for the person who asked, with the value, what was expected and what to do."""


class AdminError(Exception):
    """Nothing was changed."""
