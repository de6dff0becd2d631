"""Events, the command line, and rude admin requests."""
import http.client, json, os, re, subprocess, threading

import sources
from cache_server import *


@check
def events_tell_what_happens():
    with Server(cache=fresh()) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        try:
            connection.request("GET", "/admin/events", headers={"Authorization": f"Bearer {ADMIN}"})
            response = connection.getresponse()
            assert response.status == 200 and response.readline().startswith(b":"), response.status
            good(server.put("x", BIG[0].path)); good(server.act("x", "warm")); demote(server, "x"); good(server.delete("x"))
            seen = {}
            for _ in range(100):
                line = response.readline()
                if not line.startswith(b"data: "): continue
                event = json.loads(line[6:])
                seen[event["event"]] = event
                if event["event"] == "removed": break
            for event in seen.values(): assert abs(event.pop("time") - time.time()) < 60, seen
            assert seen["added"] == {"event": "added", "name": "x", "digest": BIG[0].digest}, seen
            assert seen["loaded"]["digest"] == BIG[0].digest and seen["evicted"] == {"event": "evicted", "digest": BIG[0].digest, "tier": "host", "names": ["x"]}, seen
            assert server.stop() == 0, server.text()[-2000:]  # somebody who listens does not hold it up
        finally: connection.close()


def command(url, *words, key=ADMIN):
    """What runs `martlet adapters` for a server."""
    return dict(args=[MARTLET, "adapters", *words], env={**clean_environment(), "MARTLET_URL": url, **({} if key is None else {"MARTLET_ADMIN_KEY": key})}, text=True)


def columns(text):
    """The rows of a table for a terminal, by their headers."""
    lines = [re.split(" {2,}", line.strip()) for line in text.split("\n\n")[0].splitlines()]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


@check
def the_command_line():
    cache, files = fresh(), fresh()
    a, b = BIG[:2]
    broken, pickle = copy(POOL[2], os.path.join(files, "broken")), copy(POOL[3], os.path.join(fresh(), "pickle"))
    copy(POOL[1], os.path.join(files, "good"))
    os.truncate(os.path.join(broken, "adapter_model.safetensors"), 5000)
    os.rename(os.path.join(pickle, "adapter_model.safetensors"), os.path.join(pickle, "adapter_model.bin"))
    with sources.Web(files) as stranger, Server(cache=cache) as server:
        here = f"http://127.0.0.1:{server.port}"
        def run(*words, url=here, key=ADMIN, folder=FOLDER): return subprocess.run(**command(url, *words, key=key), cwd=folder, capture_output=True, timeout=60)
        def works(*words, says=(), **more):
            r = run(*words, **more)
            assert r.returncode == 0 and not r.stderr and all(text in r.stdout for text in says), f"{words}: {r}, expected {says}"
            return r.stdout
        def fails(*words, says, code=1, **more):
            """In one message for people, without the key, and with nothing for programs to read."""
            r = run(*words, **more)
            assert r.returncode == code and not r.stdout and r.stderr.startswith("Error: ") and all(text in r.stderr for text in says), f"{words}: {r}, expected {code}, {says}"
            assert "-key-1234" not in r.stderr, r.stderr
        # Names.
        works("list", says=["No adapters", "martlet adapters add NAME SOURCE", "waiting for room: 0, thrashing: 0.00"])
        works("add", "x", a.path, says=["x: ", a.digest]); right(server, "x", a)
        fails("add", "x", b.path, says=["[adapter_exists]", "martlet adapters replace"]); right(server, "x", a)
        works("add", "near", "a01", folder=LIBRARY, says=[POOL[1].digest])
        assert server.entry("near")["source"] == POOL[1].path
        works("add", "team/y", b.path, says=["team/y: ", b.digest]); right(server, "team/y", b)
        works("show", "team/y", says=["team/y", b.digest, b.path, "900.0 KiB"])
        text = works("replace", "x", b.path, says=["x: ", b.digest, f"to go back: martlet adapters point x {a.digest}"]); right(server, "x", b)
        works(*text.splitlines()[-1].split("martlet adapters ")[1].split(), says=["x: ", a.digest]); right(server, "x", a)
        fails("replace", "x", b.path, "--if-digest", b.digest, says=["[adapter_changed]"])
        fails("point", "x", b.digest, "--if-digest", b.digest, says=["[adapter_changed]"]); right(server, "x", a)
        works("replace", "x", b.path, "--if-digest", a.digest, says=[b.digest]); works("point", "x", a.digest, "--if-digest", b.digest, says=[a.digest]); right(server, "x", a)
        fails("point", "x", "0" * 64, says=["[adapter_not_found]"])
        fails("point", "x", "zz", code=64, says=["is not a digest"]); fails("replace", "x", b.path, "--if-digest", "zz", code=64, says=["is not a digest"])
        fails("replace", "nobody", b.path, says=["[adapter_not_found]", "nobody"]); missing(server, "nobody")
        for source, code in ((pickle, "pickle_refused"), (broken, "malformed_file"), ("/nowhere", "source_not_found"), ("ftp://x/y", "malformed_source"), ("https://models.example.com/x", "source_not_allowed")):
            fails("add", "nobody", source, says=[f"[{code}]"]); missing(server, "nobody")
        for name in ("../x", "é", "a b"): fails("show", name, says=["[adapter_not_found]"]); fails("add", name, a.path, says=["[invalid_value]"])
        fails("show", "", says=["not empty"])
        works("replace", "x", a.path, says=[a.digest])  # so that its source is what it stands for
        # Tiers.
        works("warm", "x", says=["x: host, 900.0 KiB", a.digest]); works("pin", "x", says=["x: host, 900.0 KiB, pinned"])
        fails("demote", "x", says=["[adapter_in_use]"])
        rows = columns(works("list", "--sort", "name"))
        assert [r["name"] for r in rows] == ["near", "team/y", "x"], rows
        assert {k: rows[2][k] for k in ("tier", "rank", "size", "pinned", "digest", "fault")} == {"tier": "host", "rank": "8", "size": "900.0 KiB", "pinned": "yes", "digest": a.digest[:12], "fault": "-"}, rows[2]
        assert int(rows[2]["hits"]) > 0 and rows[2]["last use"].endswith(" ago"), rows[2]
        assert columns(works("list", "--sort", "size"))[-1]["name"] == "near"
        works("unpin", "x"); eventually(lambda: run("demote", "x").returncode == 0, "x is demoted"); assert server.entry("x")["tier"] == "disk"
        tiers = {r["tier"]: r for r in columns(works("tiers", says=["waiting for room: 0"]).split("\nwaiting")[0])}
        assert tiers["disk"]["adapters"] == "3" and tiers["host"]["budget"], tiers
        assert re.search(r"x +ok\n", works("verify", "x", "team/y"))
        damage(pack(cache, a))
        r = run("verify", "x", "nobody", b.path)
        assert r.returncode == 1 and "was damaged; made again from its source" in r.stdout and "refused: " in r.stdout and "[adapter_not_found]" in r.stdout and "give --model their base" in r.stdout, r
        works("verify", "x"); right(server, "x", a)
        for words in (("pin", "nobody"), ("unpin", "nobody"), ("warm", "nobody"), ("demote", "nobody"), ("remove", "nobody")): fails(*words, says=["[adapter_not_found]"])
        works("remove", "team/y", says=["team/y: removed"]); missing(server, "team/y"); fails("remove", "team/y", says=["[adapter_not_found]"])
        # Files on this machine.
        rows = works("list", files, "--model", MODEL).splitlines()
        assert "[malformed_file]" in rows[1] and POOL[1].digest[:12] in rows[2], rows
        works("verify", POOL[1].path, "--model", MODEL, says=["ok  " + POOL[1].digest])
        r = run("verify", files, "--model", MODEL)
        assert r.returncode == 1 and "ok  " + POOL[1].digest in r.stdout and "[malformed_file]" in r.stdout, r
        works("inspect", POOL[1].path, "--model", MODEL, says=[POOL[1].digest, "q_proj", "rank 3"]); fails("inspect", broken, "--model", MODEL, says=["[malformed_file]"])
        # What does not begin to work.
        fails("tiers", url=f"http://127.0.0.1:{sources.free_port()}", says=["No answer from", "martlet serve", "--url"]); fails("tiers", url=stranger.url, says=["not as Martlet does", "--url"])
        fails("tiers", key=None, says=["[missing_api_key]", "MARTLET_ADMIN_KEY"]); fails("tiers", key="wrong-key-1234", says=["[invalid_api_key]", "MARTLET_ADMIN_KEY"]); fails("tiers", key=USER, says=["[admin_key_required]"])
        works("tiers", "--key", ADMIN, key="wrong-key-1234"); works("tiers", "--url", here + "/v1/", url="http://127.0.0.1:1")
        for words, says in ((("tiers", "--url", "localhost:8080"), "http://HOST:PORT"), (("list", "--sort", "luck"), "--sort"), (("list", files), "--model"), (("add", "x"), "<source>"), (("frobnicate",), "frobnicate")): fails(*words, code=64, says=[says])
        fails("tiers", key="", code=64, says=["admin key"])
        assert "SUBCOMMANDS" in works("--help").upper()
        # What happens, as it happens, until the server ends.
        listener, lines = subprocess.Popen(**command(here, "events"), stdout=subprocess.PIPE, stderr=subprocess.PIPE), []
        try:
            def read():
                for line in listener.stdout: lines.append(line)
            reader = threading.Thread(target=read); reader.start()
            def is_told():
                good(server.act("x", "warm")); demote(server, "x")
                return all(any(f'"{what}"' in line for line in lines) for what in ("loaded", "evicted"))
            eventually(is_told, "events are printed as they come")
            assert server.stop() == 0, server.text()[-2000:]
            code = listener.wait(20)
            reader.join()
            assert code == 0 or (code == 1 and "broke off" in listener.stderr.read()), code
            loaded = [event for event in map(json.loads, lines) if event["event"] == "loaded"]
            assert any(event["digest"] == a.digest and event["names"] == ["x"] for event in loaded), lines
        finally: listener.kill(); listener.wait()
        assert "-key-1234" not in server.text()


@check
def an_invoked_adapter_is_the_base_until_then():
    """aLoRA: before the invocation the base's log probabilities and its part of the prefix cache, after it its own."""
    folder = copy(POOL[0], os.path.join(fresh(), "invoked"))
    path = os.path.join(folder, "adapter_config.json")
    config = {**json.load(open(path)), "alora_invocation_tokens": [70, 71, 72]}
    with open(path, "w") as file: json.dump(config, file)
    prompt = LONG[:100] + [70, 71, 72] + LONG[100:]
    with Server("--adapter", f"invoked={folder}", "--adapter", f"whole={POOL[0].path}") as server:
        def cached(model): return good(server.request("POST", "/v1/completions", {"model": model, "prompt": prompt, "max_tokens": 1}))["usage"]["prompt_tokens_details"]["cached_tokens"]
        found = [cached(m) for m in ("base", "invoked", "invoked", "whole", "base")]
        assert found == [0, 96, 160, 0, 160], found
        def score(model, prompt): return good(server.request("POST", "/v1/completions", {"model": model, "prompt": prompt, "max_tokens": 0, "echo": True, "logprobs": 0}))["choices"][0]["logprobs"]["token_logprobs"]
        base, invoked, whole = (score(m, prompt) for m in ("base", "invoked", "whole"))
        assert invoked[:101] == base[:101] and all(a != b for a, b in zip(invoked[101:], base[101:])) and invoked[101:] != whole[101:]
        assert score("invoked", LONG) == score("base", LONG) != score("whole", LONG)


@check
def rude_admin_requests():
    a = "/admin/adapters"
    source = {"source": POOL[0].path}
    cases = [
        ("PUT", a + "/x", b"", 400, "invalid_json"), ("PUT", a + "/x", b"{", 400, "invalid_json"), ("PUT", a + "/x", b"\xff", 400, "invalid_json"), ("PUT", a + "/x", b'{"source": "a", "source": "b"}', 400, "invalid_json"),
        ("PUT", a + "/x", b"[" * 100000, 400, "invalid_json"), ("PUT", a + "/x", b"[]", 400, "invalid_body"), ("PUT", a + "/x", b"null", 400, "invalid_body"), ("PUT", a + "/x", b'"x"', 400, "invalid_body"),
        ("PUT", a + "/x", {}, 400, "missing_parameter"), ("PUT", a + "/x", {"source": None}, 400, "missing_parameter"), ("PUT", a + "/x", {"source": ""}, 400, "missing_parameter"),
        ("PUT", a + "/x", {**source, "digest": POOL[0].digest}, 400, "missing_parameter"), ("PUT", a + "/x", {"if_digest": POOL[0].digest}, 400, "missing_parameter"),
        ("PUT", a + "/x", {"source": 5}, 400, "invalid_type"), ("PUT", a + "/x", {"source": [POOL[0].path]}, 400, "invalid_type"), ("PUT", a + "/x", {"digest": 5}, 400, "invalid_type"), ("PUT", a + "/x", {**source, "if_digest": 5}, 400, "invalid_type"),
        ("PUT", a + "/x", {**source, "nonsense": 1}, 400, "unsupported_parameter"), ("PUT", a + "/x", {**source, "pinned": True}, 400, "unsupported_parameter"),
        ("PUT", a + "/x", {**source, "replaces": "no"}, 400, "invalid_type"), ("PUT", a + "/x", {"digest": POOL[0].digest, "replaces": False}, 400, "invalid_value"), ("PUT", a + "/kept", {**source, "replaces": False}, 400, "adapter_exists"),
        ("PUT", a + "/x", {"digest": "zz"}, 400, "invalid_value"), ("PUT", a + "/x", {"digest": ""}, 400, "invalid_value"), ("PUT", a + "/x", {"digest": "G" * 64}, 400, "invalid_value"), ("PUT", a + "/x", {"digest": "A" * 64}, 400, "invalid_value"),
        ("PUT", a + "/x", {"digest": "é" * 32}, 400, "invalid_value"), ("PUT", a + "/x", {"digest": "0" * 64}, 404, "adapter_not_found"),
        ("PUT", a + "/x", {"source": "x" * 5000}, 400, "malformed_source"), ("PUT", a + "/x", {"source": "a\nb"}, 400, "malformed_source"), ("PUT", a + "/x", {"source": "a\0b"}, 400, "malformed_source"), ("PUT", a + "/x", {"source": "ftp://x/y"}, 400, "malformed_source"),
        ("PUT", a + "/x", {"source": "hf:one"}, 400, "malformed_source"), ("PUT", a + "/x", {"source": "s3://x"}, 400, "malformed_source"), ("PUT", a + "/x", {"source": "https://"}, 400, "malformed_source"),
        ("PUT", a + "/x", {"source": "https://models.example.com/x"}, 403, "source_not_allowed"), ("PUT", a + "/x", {"source": "http://models.example.com/x"}, 403, "source_not_allowed"), ("PUT", a + "/x", {"source": "s3://bucket/x"}, 403, "source_not_allowed"),
        ("PUT", a + "/x", {"source": "/nowhere"}, 404, "source_not_found"), ("PUT", a + "/x", {"source": "/dev/zero"}, 404, "source_not_found"), ("PUT", a + "/x", {"source": LIBRARY}, 404, "source_not_found"),
        ("PUT", a + "/x", {"source": os.path.join(POOL[0].path, "adapter_model.safetensors")}, 404, "source_not_found"),
        ("PUT", a + "/" + "x" * 201, source, 400, "invalid_value"), ("PUT", a + "/" + "x" * 4000, source, 400, "invalid_value"), ("PUT", a + "/-x", source, 400, "invalid_value"), ("PUT", a + "/base", source, 400, "adapter_exists"),
        ("PUT", a + "/x", b" " * (10 << 20), 413, "body_too_large"),
        ("GET", a + "/nope", None, 404, "adapter_not_found"), ("DELETE", a + "/nope", None, 404, "adapter_not_found"), ("DELETE", a + "/base", None, 404, "adapter_not_found"), ("GET", a + "/" + "x" * 4000, None, 404, "adapter_not_found"),
        *(("POST", f"{a}/nope/{action}", None, 404, "adapter_not_found") for action in ("pin", "unpin", "warm", "demote", "verify")),
        ("POST", a + "/kept/frobnicate", None, 404, "not_found"), ("POST", a + "/kept", None, 404, "not_found"), ("POST", a + "/base/warm", None, 404, "adapter_not_found"),
        ("PUT", a, source, 405, "method_not_allowed"), ("DELETE", a, None, 405, "method_not_allowed"), ("POST", "/admin/tiers", None, 405, "method_not_allowed"), ("POST", "/admin/events", None, 405, "method_not_allowed"), ("GET", "/admin", None, 404, "not_found"), ("GET", "/admin/nonsense", None, 404, "not_found"),
    ]
    with Server(cache=fresh()) as server:
        good(server.put("kept", BIG[0].path))
        for method, path, body, status, code in cases:
            got, r = server.request(method, path, body)
            assert got == status and r["error"]["code"] == code and r["error"]["message"], f"{method} {path[:60]} {str(body)[:100]}: {got} {str(r)[:300]}, expected {status} {code}"
        for key, status, code in ((None, 401, "missing_api_key"), ("wrong-key-1234", 401, "invalid_api_key"), (USER, 403, "admin_key_required")):
            for method, path in (("GET", a), ("GET", a + "/kept"), ("PUT", a + "/kept"), ("DELETE", a + "/kept"), ("POST", a + "/kept/pin"), ("GET", "/admin/tiers"), ("GET", "/admin/events")):
                refused(server.request(method, path, source if method == "PUT" else None, key), status, code)
        assert list(server.entries()) == ["kept"]
        right(server, "kept", BIG[0])
        assert "-key-1234" not in server.text()
