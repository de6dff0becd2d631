"""A Martlet server as a child process."""
import atexit
import collections
import re
import subprocess
import threading
import time
from types import TracebackType
from typing import Any, Deque, List, Mapping, Optional, Sequence, Type, Union

from ._binary import binary
from ._client import Client
from ._error import MartletError

Option = Union[str, int, float, bool, Sequence[str]]


class Server:
    """Starts a server; it is ready when the constructor returns.

        with Server("model.gguf", adapters={"pirate": "hf:acme/pirate-lora"}, kv_memory="1GiB") as server:
            server.client.chat("pirate", "What is rain?")

    `model` is a folder, a GGUF file or a name on the Hub. `adapters` is a folder of them, or sources by name. `port` 0 takes a
    free one, which is read from the log, so leave `log_level` at info then. Further options are those of `martlet help serve`,
    with `_` for `-`: True for a flag, a list for one that may be repeated. `api_key` is what `client` sends, on a server with an
    `api_key_file`.

    `start_timeout` is how many seconds it may take until the server is ready, a model's way from the Hub included.
    Raises MartletError with `not_started` and the end of the server's log.
    """

    def __init__(
        self,
        model: str,
        adapters: Union[str, Mapping[str, str], None] = None,
        port: int = 0,
        *,
        api_key: Optional[str] = None,
        start_timeout: float = 600,
        environment: Optional[Mapping[str, str]] = None,
        **options: Option,
    ) -> None:
        self.command = [binary(), "serve", "--model", model, "--port", str(port), *_adapters(adapters), *_arguments(options)]
        self._log: Deque[str] = collections.deque(maxlen=1000)
        self._listening = threading.Event()
        self._port = port
        # Not of the terminal's group: Ctrl-C is Python's, which then stops the server.
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment,
            text=True, errors="replace", start_new_session=True)
        atexit.register(self.stop)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            deadline = time.monotonic() + start_timeout
            # Not before it listens itself: somebody else may have the port.
            self._listening.wait(start_timeout)
            self.client = Client(self.base_url, api_key)
            while not self._is_ready(deadline):
                time.sleep(0.05)
        except BaseException:
            self.stop()
            raise

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    @property
    def base_url(self) -> str:
        """What the `openai` package wants as its `base_url`."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def log(self) -> str:
        """The last thousand lines of its log."""
        return "\n".join(list(self._log))

    def stop(self, timeout: float = 60) -> int:
        """Lets running requests finish, ends the server and returns its exit status: 0 when all was well."""
        atexit.unregister(self.stop)
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._reader.join(5)
        return status

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.stop()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._log.append(line.rstrip("\n"))
            found = None if self._listening.is_set() else re.search(r"listening on http://\S*:(\d+)", line)
            if found:
                self._port = int(found[1])
                self._listening.set()
        # The log has ended, and so has the server.
        self._listening.set()

    def _is_ready(self, deadline: float) -> bool:
        if self.process.poll() is not None:
            self._reader.join(5)
            raise MartletError(None, "not_started", f"The server ended with {self.process.returncode}:\n{self.log}")
        if time.monotonic() > deadline:
            raise MartletError(None, "not_started", f"The server was not ready in time:\n{self.log}")
        try:
            self.client.request("GET", "/ready")
            return True
        except MartletError:
            return False


def _adapters(adapters: Union[str, Mapping[str, str], None]) -> List[str]:
    if adapters is None:
        return []
    if isinstance(adapters, str):
        return ["--adapters", adapters]
    return [word for name, source in adapters.items() for word in ("--adapter", f"{name}={source}")]


def _arguments(options: Mapping[str, Any]) -> List[str]:
    words: List[str] = []
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words += [option] if value else []
        elif isinstance(value, (list, tuple)):
            words += [word for one in value for word in (option, str(one))]
        else:
            words += [option, str(value)]
    return words
