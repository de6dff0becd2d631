"""The one exception of this package."""
from typing import Optional


class MartletError(Exception):
    """What went wrong, as the server said it.

    `status` is the HTTP status, and None when there was no answer or it had begun already. `code` is stable: one of
    docs/api.md, or `unreachable`, `bad_answer`, `no_program`, `not_started`. `message` says what to do.
    """

    def __init__(self, status: Optional[int], code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.status = status
        self.code = code
        self.message = message
