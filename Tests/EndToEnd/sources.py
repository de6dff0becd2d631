"""Places that adapters come from, for the checks of the adapter cache: a web server, a Hub, an S3. Each serves files as it
should, and misbehaves where it is told to: an act answers one request in place of the server.
"""
import hashlib, http.client, http.server, logging, os, pathlib, socket, sys, threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import fake_hub


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0)); return s.getsockname()[1]


def reply(handler, status=200, headers={}, body=b"", has_length=True):
    """Answers and closes. Without a length the body ends where the connection does."""
    handler.send_response(status)
    if has_length: headers = {"Content-Length": len(body), **headers}
    for name, value in {**headers, "Connection": "close"}.items(): handler.send_header(name, str(value))
    handler.end_headers()
    if handler.command != "HEAD": handler.wfile.write(body)


# MARK: Acts

def tag(content): return {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}


def whole(handler, content, headers={}):
    """What an honest server does: ranges, a strong tag."""
    headers = {**tag(content), **headers}
    wanted = handler.headers.get("Range", "")
    if not (wanted.startswith("bytes=") and wanted.endswith("-")): return reply(handler, 200, headers, content)
    start = int(wanted[6:-1])
    reply(handler, 206, {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}, content[start:])


def redirect(target): return lambda handler, _: reply(handler, 302, {"Location": target})
def refuse(status): return lambda handler, _: reply(handler, status)
def declare(count): return lambda handler, content: reply(handler, 200, {"Content-Length": count}, content)
def say(content, headers={}): return lambda handler, _: reply(handler, 200, headers, content)
def flipped(content): return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
def flip(handler, content): whole(handler, flipped(content))
def compress(handler, content): whole(handler, content, {"Content-Encoding": "gzip"})
def nonsense(handler, _): whole(handler, b"<html>not here</html>" * 100)


def longer(handler, content):
    """The body has other bytes than the head promised."""
    whole(handler, content if handler.command == "HEAD" else content + b"and more")


def corrupt(handler, content):
    """Another byte than the tag is for."""
    whole(handler, content) if handler.command == "HEAD" else reply(handler, 200, tag(content), flipped(content))


def endless(handler, _):
    reply(handler, has_length=False)
    if handler.command == "HEAD": return
    for _ in range(4096): handler.wfile.write(b" " * 65536)


def flood(handler, content):
    """Promises a length, and does not end there."""
    (whole if handler.command == "HEAD" else endless)(handler, content)


def cut(times):
    """Breaks off in the middle of the first bodies."""
    left = [times]
    def act(handler, content):
        if handler.command == "HEAD" or left[0] == 0: return whole(handler, content)
        left[0] -= 1
        reply(handler, 200, {"Content-Length": len(content), **tag(content)}, content[:len(content) // 2])
    return act


def misplaced(handler, content):
    """Breaks off, and goes on from somewhere else than it is asked to."""
    if "Range" not in handler.headers: return cut(1)(handler, content)
    reply(handler, 206, {**tag(content), "Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}, content)


class Hold:
    """An act that stops in the middle of a body. `reached` is set then; it goes on when `let_go` is set, or after 25 s."""

    def __init__(self): self.reached, self.let_go = threading.Event(), threading.Event()

    def __call__(self, handler, content):
        if handler.command == "HEAD": return whole(handler, content)
        half = len(content) // 2
        reply(handler, 200, {"Content-Length": len(content)}, content[:half])
        self.reached.set(); self.let_go.wait(25)
        handler.wfile.write(content[half:])


# MARK: Servers

def quiet(server):
    """Clients of these servers leave in the middle; that is no news."""
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()


class Web:
    """A folder over http. `acts` are by path, `asked` has method, path and range of every request."""

    def __init__(self, root):
        self.acts, self.asked = {}, []
        web = self
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                web.asked.append((self.command, self.path, self.headers.get("Range")))
                file = os.path.join(root, self.path.lstrip("/"))
                content = pathlib.Path(file).read_bytes() if os.path.isfile(file) else None
                act = web.acts.get(self.path, refuse(404) if content is None else whole)
                try: act(self, content)
                except OSError: self.close_connection = True

            do_HEAD = do_GET
            def log_message(self, *_): pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        quiet(self.server)

    def __enter__(self): return self
    def __exit__(self, *_): self.server.shutdown(); self.server.server_close()


class Hub:
    """scripts/fake_hub.py in this process. `acts` are by repository, for its weights, `answers` by path, in place of the Hub
    itself; `asked` has where, method, path, token and range of every request.
    """

    def __init__(self, root, token):
        self.acts, self.answers, self.asked = {}, {}, []
        hub = self
        class Handler(fake_hub.Handler):
            def answer(self):
                where = "content" if self.server.is_content_host else "hub"
                hub.asked.append((where, self.command, self.path, self.headers.get("Authorization"), self.headers.get("Range")))
                act = hub.answers.get(self.path) if where == "hub" else None
                try: act(self, None) if act else super().answer()
                except OSError: self.close_connection = True

            def send_file(self, file, headers):
                act = hub.acts.get(str(file.relative_to(self.server.root).parent)) if self.server.is_content_host else None
                if act: act(self, file.read_bytes())
                else: super().send_file(file, headers)

            def log_message(self, *_): pass
        self.hub, self.content = self.pair(pathlib.Path(root).resolve(), token)
        for server in (self.hub, self.content): server.RequestHandlerClass = Handler; quiet(server)
        self.url = f"http://127.0.0.1:{self.hub.server_address[1]}"

    @staticmethod
    def pair(root, token):
        """The content host has the next port."""
        for _ in range(100):
            port = free_port()
            try: hub = fake_hub.serve(root, port, token)
            except (OSError, OverflowError): continue
            try: return hub, fake_hub.serve(root, port + 1, is_content_host=True)
            except (OSError, OverflowError): hub.server_close()
        raise RuntimeError("there are no two free ports in a row")

    def __enter__(self): return self
    def __exit__(self, *_): self.close()

    def close(self):
        for server in (self.hub, self.content): server.shutdown(); server.server_close()


class S3:
    """moto's server with one bucket, filled without its client."""

    def __init__(self, bucket):
        from moto.server import ThreadedMotoServer
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.port, self.bucket = free_port(), bucket
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()
        self.put("")

    def put(self, key, data=b""):
        # moto reads the region and the service out of a signature, and does not verify it.
        sign = {"Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("PUT", f"/{self.bucket}/{key}".rstrip("/"), data, sign)
            response = connection.getresponse(); text = response.read()
            assert response.status == 200, (response.status, text)
        finally: connection.close()

    def __enter__(self): return self
    def __exit__(self, *_): self.server.stop()
