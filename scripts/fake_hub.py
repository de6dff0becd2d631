#!/usr/bin/env python3
"""A Hugging Face Hub for tests: serves repositories from folders, as the real one answers for them.

    scripts/fake_hub.py ROOT [--port 8100] [--token TOKEN]

ROOT/OWNER/NAME/... are the repositories, each with one revision, main. Weights are redirected to another
port, the next one, as the Hub sends large files to its content hosts; these want no token and get none.
"""
import argparse
import hashlib
import json
import pathlib
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = {".safetensors", ".gguf", ".bin"}


def commit(repository):
    """Changes when a file does, like a commit."""
    digest = hashlib.sha1()
    for path in sorted(p for p in repository.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(repository)} {path.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer()

    def do_HEAD(self):
        self.answer()

    def answer(self):
        path = urllib.parse.unquote(self.path.split("?")[0])
        parts = path.strip("/").split("/")
        if ".." in parts:
            return self.reply(404)
        if self.server.is_content_host:
            if "Authorization" in self.headers:
                return self.reply(400)
            return self.send_file(self.server.root.joinpath(*parts), {"ETag": '"content-host"'})
        token = self.server.token
        if token and self.headers.get("Authorization") != f"Bearer {token}":
            return self.reply(401, {"X-Error-Message": "Invalid username or password."})
        if parts[:2] == ["api", "models"] and len(parts) == 6 and parts[4] == "revision":
            return self.listing(self.server.root / parts[2] / parts[3], parts[5])
        if len(parts) > 4 and parts[2] == "resolve":
            return self.resolve(self.server.root / parts[0] / parts[1], parts[3], parts[4:])
        self.reply(404)

    def listing(self, repository, revision):
        if not repository.is_dir():
            return self.reply(404, {"X-Error-Code": "RepoNotFound"})
        sha = commit(repository)
        if revision not in ("main", sha):
            return self.reply(404, {"X-Error-Code": "RevisionNotFound"})
        names = [str(p.relative_to(repository)) for p in sorted(repository.rglob("*")) if p.is_file()]
        body = json.dumps({"sha": sha, "siblings": [{"rfilename": name} for name in names]})
        self.reply(200, {"Content-Type": "application/json"}, body.encode())

    def resolve(self, repository, revision, parts):
        file = repository.joinpath(*parts)
        if not file.is_file() or revision not in ("main", commit(repository)):
            return self.reply(404, {"X-Error-Code": "EntryNotFound"})
        content = file.read_bytes()
        headers = {"X-Repo-Commit": commit(repository)}
        if file.suffix not in LARGE:
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            return self.send_file(file, headers | {"ETag": f'"{blob}"'})
        host, port = self.server.server_address
        place = urllib.parse.quote(str(file.relative_to(self.server.root)))
        self.reply(302, headers | {
            "Location": f"http://{host}:{port + 1}/{place}?signature=none",
            "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
        })

    def send_file(self, file, headers):
        if not file.is_file():
            return self.reply(404)
        content = file.read_bytes()
        wanted = self.headers.get("Range", "")
        fits = self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
        if not (wanted.startswith("bytes=") and wanted.endswith("-") and fits):
            return self.reply(200, headers, content)
        start = int(wanted[6:-1])
        if start >= len(content):
            return self.reply(416, {"Content-Range": f"bytes */{len(content)}"})
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.reply(206, headers | {"Content-Range": span}, content[start:])

    def reply(self, status, headers={}, body=b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def serve(root, port, token=None, is_content_host=False):
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.root, server.token, server.is_content_host = root, token, is_content_host
    return server


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--token")
    options = parser.parse_args()
    content_host = serve(options.root.resolve(), options.port + 1, is_content_host=True)
    threading.Thread(target=content_host.serve_forever, daemon=True).start()
    serve(options.root.resolve(), options.port, options.token).serve_forever()


if __name__ == "__main__":
    main()
