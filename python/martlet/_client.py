"""A thin client of a Martlet server."""
import http.client
import json
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Union
from urllib.parse import quote, urlsplit

from ._error import MartletError

Messages = Union[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Answer:
    """The first choice of a completion; `raw` is all that the server said."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    raw: Dict[str, Any]


@dataclass(frozen=True)
class Adapter:
    """An adapter that the server knows by name; `raw` is its whole entry (docs/api.md)."""

    name: str
    source: Optional[str]
    digest: Optional[str]
    tier: Optional[str]
    fault: Optional[str]
    raw: Dict[str, Any]


class Client:
    """Speaks to one server, over a connection of its own for each call; threads may share it.

    `base_url` is the server's address, with or without `/v1`. `timeout` is how many seconds the server may be silent.
    Parameters that a method does not name go into the request as they are: `temperature=0`, `max_tokens=16`.
    """

    def __init__(
        self, base_url: str = "http://127.0.0.1:8080/v1", api_key: Optional[str] = None, timeout: float = 600
    ) -> None:
        self.base_url = base_url
        self.timeout = timeout
        self._api_key = api_key

    # Generating

    def chat(self, model: str, messages: Messages, **parameters: Any) -> Answer:
        """Answers a conversation; a text is one message of a user."""
        reply = self.request("POST", "/v1/chat/completions", {"model": model, "messages": _messages(messages), **parameters})
        return _answer(reply, reply["choices"][0]["message"]["content"] or "")

    def stream(self, model: str, messages: Messages, **parameters: Any) -> Iterator[str]:
        """The pieces of an answer's text as they come. Closing the iterator ends the request on the server."""
        body = {"model": model, "messages": _messages(messages), "stream": True, **parameters}
        connection, response = self._send("POST", "/v1/chat/completions", body)
        try:
            for line in response:
                if not line.startswith(b"data: ") or line.strip() == b"data: [DONE]":
                    continue
                event = json.loads(line[6:])
                if "error" in event:
                    raise _error(None, event)
                for choice in event["choices"]:
                    piece = choice["delta"].get("content")
                    if piece:
                        yield piece
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise MartletError(None, "bad_answer", f"The answer broke off: {error!r}.") from error
        finally:
            connection.close()

    def complete(self, model: str, prompt: Union[str, Sequence[int]], **parameters: Any) -> Answer:
        """Continues a text, or token ids."""
        reply = self.request("POST", "/v1/completions", {"model": model, "prompt": prompt, **parameters})
        return _answer(reply, reply["choices"][0]["text"])

    def embed(self, model: str, texts: Union[str, Sequence[str]], **parameters: Any) -> List[List[float]]:
        """A vector of length one for each text."""
        reply = self.request("POST", "/v1/embeddings", {"model": model, "input": texts, **parameters})
        return [entry["embedding"] for entry in sorted(reply["data"], key=lambda entry: int(entry["index"]))]

    # Adapters. Changing them needs an admin's key, or a manager's.

    def adapters(self) -> List[Adapter]:
        """All adapters that have a name here."""
        return [_adapter(entry) for entry in self.request("GET", "/admin/adapters")["adapters"]]

    def put_adapter(self, name: str, source: str, **more: Any) -> Adapter:
        """Makes the name stand for what the source has: `hf:owner/name`, a path, s3:// or https://."""
        return _adapter(self.request("PUT", _path(name), {"source": source, **more}))

    def remove_adapter(self, name: str) -> None:
        """Takes a name away; requests that are running go on."""
        self.request("DELETE", _path(name))

    # Everything else

    def request(self, method: str, path: str, body: Optional[Mapping[str, Any]] = None) -> Any:
        """Any route that answers with JSON."""
        connection, response = self._send(method, path, body)
        try:
            return json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise MartletError(response.status, "bad_answer", f"The answer broke off or is not JSON: {error!r}.") from error
        finally:
            connection.close()

    def _send(self, method: str, path: str, body: Optional[Mapping[str, Any]]) -> Any:
        address = urlsplit(self.base_url)
        prefix = address.path.rstrip("/")
        if prefix.endswith("/v1"):
            prefix = prefix[:-3]
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        connection = kind(address.hostname or "", address.port, timeout=self.timeout)
        headers = {"Content-Type": "application/json"}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key}"
        try:
            connection.request(method, prefix + path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            if response.status < 400:
                return connection, response
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise MartletError(None, "unreachable", f"{self.base_url} does not answer: {error!r}.") from error
        connection.close()
        try:
            raise _error(response.status, json.loads(text))
        except ValueError:
            raise MartletError(response.status, "bad_answer", text.decode(errors="replace")[:500]) from None


def _messages(messages: Messages) -> Sequence[Mapping[str, Any]]:
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else messages


def _answer(reply: Dict[str, Any], text: str) -> Answer:
    usage = reply["usage"]
    return Answer(text, reply["choices"][0]["finish_reason"], usage["prompt_tokens"], usage["completion_tokens"], reply)


def _adapter(entry: Dict[str, Any]) -> Adapter:
    return Adapter(entry["name"], entry.get("source"), entry.get("digest"), entry.get("tier"), entry.get("fault"), entry)


def _path(name: str) -> str:
    return "/admin/adapters/" + quote(name, safe="")


def _error(status: Optional[int], body: Any) -> MartletError:
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return MartletError(status, "bad_answer", json.dumps(body)[:500])
    return MartletError(status, str(error.get("code") or error.get("type")), str(error.get("message")))
