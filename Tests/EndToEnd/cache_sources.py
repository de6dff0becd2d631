"""Hubs, buckets and web servers, honest and hostile."""
import concurrent.futures as futures, hashlib, http.client, json, os, pathlib

import sources
import fake_hub  # where sources has found it
from cache_server import *


def repositories(*adapters):
    """A folder for a Hub: acme/r0, acme/r1, … and evil/r0."""
    root = fresh()
    for owner in ("acme", "evil"): os.mkdir(os.path.join(root, owner))
    for number, adapter in enumerate(adapters): copy(adapter, os.path.join(root, f"acme/r{number}"))
    copy(POOL[20], os.path.join(root, "evil/r0"))
    return root


@check
def hub_source():
    cache, root = fresh(), repositories(*POOL[:5])
    commit = lambda name: fake_hub.commit(pathlib.Path(root, name))
    with sources.Hub(root, "hub-token-1234") as hub:
        env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hub-token-1234"}
        with Server(*LOCAL, cache=cache, env=env) as server:
            entry = good(server.put("one", "hf:acme/r0"))
            assert (entry["digest"], entry["revision"], entry["source"]) == (POOL[0].digest, commit("acme/r0"), "hf:acme/r0"), entry
            right(server, "one", POOL[0])
            for source in ("hf:acme/none", "hf:acme/r1@v2"): refused(server.put("x", source), 404, "source_not_found")
            hub.acts["acme/r1"] = sources.flip
            refused(server.put("two", "hf:acme/r1"), 502, "checksum_mismatch")
            missing(server, "two")
            hub.acts["acme/r1"] = sources.cut(2)
            assert good(server.put("two", "hf:acme/r1@" + commit("acme/r1")))["digest"] == POOL[1].digest
            assert any(where == "content" and range for where, _, _, _, range in hub.asked), "what had come was not continued"
            right(server, "two", POOL[1])
            # A name stays at its commit until it is put again.
            rewrite(POOL[5], os.path.join(root, "acme/r0"))
            demote(server, "one"); right(server, "one", POOL[0])
            good(server.put("one", "hf:acme/r0")); right(server, "one", POOL[5])
            assert {token for where, _, _, token, _ in hub.asked if where == "hub"} == {"Bearer hub-token-1234"}
            assert {token for where, _, _, token, _ in hub.asked if where == "content"} == {None}
            # Killed in the middle of a fetch.
            hold = hub.acts["acme/r3"] = sources.Hold()
            with futures.ThreadPoolExecutor(1) as pool:
                asked = pool.submit(server.put, "three", "hf:acme/r3")
                assert hold.reached.wait(20), "the weights were not asked for"
                assert inside(cache, "staging")
                server.kill()
                assert isinstance(asked.exception(), (OSError, http.client.HTTPException)), asked
            hold.let_go.set()
            assert "hub-token" not in server.text()
        del hub.acts["acme/r3"]
        before = len(hub.asked)
        with Server(*LOCAL, cache=cache, env=env) as server:
            tidy(cache)
            assert sorted(server.entries()) == ["one", "two"], server.entries()
            right(server, "one", POOL[5]); right(server, "two", POOL[1])
            assert len(hub.asked) == before, "what is on the disk was asked for again"
            good(server.put("three", "hf:acme/r3")); right(server, "three", POOL[3])
            hub.hub.token = "another"
            refused(server.put("four", "hf:acme/r4"), 502, "source_unauthorized")
            right(server, "three", POOL[3])
            tidy(cache)


@check
def a_hub_that_is_down_takes_nothing_away():
    cache, root = fresh(), repositories(POOL[0])
    hub = sources.Hub(root, None)
    options = [*LOCAL, "--adapter", "x=hf:acme/r0"]
    try:
        with Server(*options, cache=cache, env={"HF_ENDPOINT": hub.url}) as server: right(server, "x", POOL[0])
    finally: hub.close()
    with Server(*options, cache=cache, env={"HF_ENDPOINT": hub.url}) as server: right(server, "x", POOL[0])


@check
def just_in_time_names():
    cache, root = fresh(), repositories(*POOL[:4])
    os.truncate(os.path.join(copy(POOL[4], os.path.join(root, "acme/broken")), "adapter_model.safetensors"), 5000)
    with sources.Hub(root, None) as hub:
        env = {"HF_ENDPOINT": hub.url}
        with Server(*LOCAL, "--just-in-time", "hf:acme/", cache=cache, env=env) as server:
            for number in range(4):  # many at once, the first time
                together(lambda _: right(server, f"hf:acme/r{number}", POOL[number], key=USER), range(8))
                fetches = [p for where, method, p, _, _ in hub.asked if where == "content" and method == "GET" and f"/r{number}/" in p]
                assert len(fetches) == 1, fetches
            asked = len(hub.asked)
            for name in ("hf:evil/r0", "hf:acme", "hf:acme/", "hf:acme/../evil/r0", "hf:acme/r0@../../evil", "hf:acme/%2e%2e/evil/r0", "hf:acme/" + "r" * 300, "HF:acme/r0", POOL[0].path, "../library/a00",
                         "https://models.example.com/x/", f"{hub.url}/acme/r0/", "s3://bucket/x", "file:///etc/passwd"):
                refused(server.ask(name, USER), 404, "model_not_found")
            assert len(hub.asked) == asked, hub.asked[asked:]
            refused(server.ask("hf:acme/none", USER), 404, "source_not_found")
            for _ in range(2): together(lambda _: refused(server.ask("hf:acme/broken", USER), 400, "malformed_file"), range(8))
            fetches = [p for where, method, p, _, _ in hub.asked if where == "content" and method == "GET" and "/broken/" in p]
            assert len(fetches) == 1, f"a broken adapter was fetched {len(fetches)} times within a moment"
            assert sorted(server.models()) == ["base"] + [f"hf:acme/r{n}" for n in range(4)], f"a name that there is no adapter for stays: {server.models()}"
        asked = len(hub.asked)
        with Server(*LOCAL, "--just-in-time", "hf:acme/", cache=cache, env=env) as server:
            right(server, "hf:acme/r0", POOL[0], key=USER)
            assert len(hub.asked) == asked


@check
def s3_source():
    try: s3 = sources.S3("adapters")
    except ImportError: raise Skipped("moto is not installed")
    cache = fresh()
    with s3:
        def fill(adapter, prefix):
            for name in os.listdir(adapter.path): s3.put(f"{prefix}/{name}", open(os.path.join(adapter.path, name), "rb").read())
        fill(POOL[0], "team/one"); fill(BIG[0], "two")
        s3.put("pickle/adapter_model.bin", b"x"); s3.put("pickle/adapter_config.json", b"{}")
        env = {"AWS_ENDPOINT_URL": s3.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "aws-secret-1234"}
        with Server(*LOCAL, cache=cache, env=env) as server:
            good(server.put("one", "s3://adapters/team/one")); right(server, "one", POOL[0])
            assert good(server.put("two", "s3://adapters/two/"))["source"] == "s3://adapters/two"
            right(server, "two", BIG[0])
            before = server.entry("one")["revision"]
            fill(POOL[1], "team/one")
            good(server.put("one", "s3://adapters/team/one")); right(server, "one", POOL[1])
            assert before and server.entry("one")["revision"] != before
            refused(server.put("x", "s3://adapters/nothing"), 404, "source_not_found")
            refused(server.put("x", "s3://no-such-bucket/one"), 404, "source_not_found")
            refused(server.put("x", "s3://adapters/pickle"), 400, "pickle_refused")
            for source in ("s3://adapters/../x", "s3://A/x", "s3://"): refused(server.put("x", source), 400, "malformed_source")
            tidy(cache)
            assert "aws-secret" not in server.text()
        with Server(cache=cache) as server: right(server, "one", POOL[1]); right(server, "two", BIG[0])


class Untouched:
    """Folders beside a cache, and the cache, as a refusal must leave them."""

    def __init__(self, server, cache, *folders):
        self.server, self.cache, self.folders = server, cache, folders
        self.before = self.files()

    def files(self):
        """All files, and when they were last written."""
        found = ((os.path.join(folder, name), name in files) for top in self.folders for folder, folders, files in os.walk(top) for name in folders + files)
        return {path: (os.lstat(path).st_size, os.lstat(path).st_mtime_ns) if is_file else None for path, is_file in found}

    def check(self, case):
        server, now = self.server, self.files()
        assert server.request("GET", "/health")[0] == 200
        assert now == self.before, f"{case} has left {set(now.items()) ^ set(self.before.items())}"
        eventually(lambda: not inside(self.cache, "staging"), f"staging is empty after {case}")
        assert not server.entries() and not inside(self.cache, "packs"), f"{case} has left {server.entries()}, {inside(self.cache, 'packs')}"

    def refuses(self, source, status, code, case=None):
        answer = self.server.put("x", source)
        assert answer[0] == status and answer[1]["error"]["code"] == code, f"{case or source}: {answer}, expected {status} {code}"
        self.check(case or source)


@check
def hostile_sources():
    place, cache = fresh(), fresh()
    inner = lambda *parts: os.path.join(place, *parts)
    for name in ("root", "root-too", "web", "home"): os.mkdir(inner(name))
    for name in ("root/good", "root/sneaky", "root/config", "root/fifo", "root/dir", "root/zip", "root/nan", "root-too/good", "outside", "web/good"): copy(POOL[0], inner(name))
    weights = "adapter_model.safetensors"
    def instead(folder, make, name=weights):
        os.remove(inner(folder, name)); make(inner(folder, name))
    instead("root/sneaky", lambda path: os.symlink(inner("outside", weights), path))
    instead("root/config", lambda path: os.symlink("/etc/passwd", path), "adapter_config.json")
    instead("root/fifo", os.mkfifo); instead("root/dir", os.mkdir)
    os.symlink(inner("outside"), inner("root/link")); os.symlink("loop", inner("root/loop"))
    with open(inner("root/nan", weights), "r+b") as file: file.seek(-2, os.SEEK_END); file.write(b"\xc0\x7f")
    for name in ("root/pickle", "web/pickle"):
        copy(POOL[0], inner(name)); os.rename(inner(name, weights), inner(name, "adapter_model.bin"))
    names = ("metadata", "unlisted", "loopback", "name", "file", "round", "ftp", "user", "mapped", "blank", "leak", "endless", "huge", "longer", "flood", "cut", "misplaced", "gzip", "html", "teapot", "zip")
    for name in names: copy(POOL[0], inner("web", name))
    for name in ("root/zip", "web/zip"):  # a pickle under another name: what torch.save writes is a zip
        with open(inner(name, weights), "wb") as file: file.write(b"PK\x03\x04" + bytes(200) + b"archive/data.pkl\x80\x02cposix\nsystem\n")
    with sources.Web(inner("web")) as web:
        here, metadata = f"127.0.0.1:{web.port}", "http://169.254.169.254/latest/meta-data/"
        targets = {"metadata": metadata, "unlisted": "http://models.example.com/x", "loopback": f"http://127.0.0.2:{web.port}/good/{weights}", "name": f"http://localhost:{web.port}/good/{weights}",
                   "file": "file:///etc/passwd", "round": f"/round/{weights}", "ftp": f"ftp://{here}/good/{weights}", "user": f"http://me@{here}/good/{weights}", "mapped": f"http://[::ffff:169.254.169.254]/good/{weights}"}
        for name, target in targets.items(): web.acts[f"/{name}/{weights}"] = sources.redirect(target)
        web.acts["/leak/adapter_config.json"], web.acts["/blank/" + weights] = sources.redirect(metadata), sources.refuse(302)
        web.acts["/endless/adapter_config.json"], web.acts["/flood/" + weights] = sources.endless, sources.flood
        web.acts["/huge/" + weights], web.acts["/longer/" + weights], web.acts["/cut/" + weights], web.acts["/misplaced/" + weights] = sources.declare(9 << 30), sources.longer, sources.cut(1000), sources.misplaced
        web.acts["/gzip/" + weights], web.acts["/html/" + weights], web.acts["/teapot/" + weights] = sources.compress, sources.nonsense, sources.refuse(418)
        cases = [
            (inner("outside"), 403, "source_not_allowed"), (inner("root/../outside"), 403, "source_not_allowed"), (inner("root-too/good"), 403, "source_not_allowed"), (inner("root/link"), 403, "source_not_allowed"),
            (inner("root/sneaky"), 403, "source_not_allowed"), (inner("root/config"), 403, "source_not_allowed"), ("/etc/passwd", 403, "source_not_allowed"), ("../outside", 403, "source_not_allowed"), ("/", 403, "source_not_allowed"),
            (inner("root/fifo"), 404, "source_not_found"), (inner("root/dir"), 404, "source_not_found"), (inner("root/loop"), 404, "source_not_found"), (inner("root/nothing"), 404, "source_not_found"), (inner("root"), 404, "source_not_found"),
            (inner("root/pickle"), 400, "pickle_refused"), (inner("root/pickle/adapter_model.bin"), 404, "source_not_found"), (inner("root/zip"), 400, "malformed_file"), (inner("root/nan"), 400, "non_finite_value"),
            ("file:///etc/passwd", 400, "malformed_source"), ("hf:../x", 400, "malformed_source"), ("hf:a/b/../../c", 400, "malformed_source"), ("s3://bucket/../x", 400, "malformed_source"), ("s3://bucket/x", 403, "source_not_allowed"),
            (f"http://{here}/root/../good/", 400, "malformed_source"), (f"http://{here}/%2e%2e/good/", 400, "malformed_source"), (f"http://{here}/.%2e/good/", 400, "malformed_source"), (f"http://{here}/x%2f..%2fgood/", 400, "malformed_source"),
            (f"http://{here}/x\\..\\good/", 400, "malformed_source"), (f"http://{here}//good/", 400, "malformed_source"), (f"http://{here}/good/?x=1", 400, "malformed_source"), (f"http://{here}/good/#x", 400, "malformed_source"),
            (f"http://me@{here}/good/", 400, "malformed_source"), ("http:///good/", 400, "malformed_source"), ("http://127.0.0.1:99999/good/", 400, "malformed_source"),
            ("https://models.example.com/x/", 403, "source_not_allowed"), (f"http://[::1]:{web.port}/good/", 403, "source_not_allowed"), (f"http://[::ffff:127.0.0.1]:{web.port}/good/", 403, "source_not_allowed"), (f"http://2130706433:{web.port}/good/", 403, "source_not_allowed"),
            (f"http://127.0.0.2:{web.port}/good/", 403, "private_address"), (metadata, 403, "private_address"), (f"http://localhost:{web.port}/good/", 403, "private_address"), (f"http://0.0.0.0:{web.port}/good/", 403, "private_address"),
            ("http://10.0.0.1/x/", 403, "private_address"), ("http://[::ffff:169.254.169.254]/x/", 403, "private_address"),
            (f"http://{here}/metadata/", 403, "private_address"), (f"http://{here}/loopback/", 403, "private_address"), (f"http://{here}/name/", 403, "private_address"), (f"http://{here}/mapped/", 403, "private_address"), (f"http://{here}/leak/", 403, "private_address"),
            (f"http://{here}/unlisted/", 403, "redirect_refused"), (f"http://{here}/file/", 403, "redirect_refused"), (f"http://{here}/round/", 403, "redirect_refused"), (f"http://{here}/ftp/", 403, "redirect_refused"), (f"http://{here}/user/", 403, "redirect_refused"),
            (f"http://{here}/blank/", 403, "redirect_refused"),
            (f"http://{here}/endless/", 413, "source_too_large"), (f"http://{here}/huge/", 413, "source_too_large"), (f"http://{here}/flood/", 413, "source_too_large"), (f"http://{here}/longer/", 503, "changed_meanwhile"), (f"http://{here}/cut/", 503, "source_truncated"),
            (f"http://{here}/pickle/", 400, "pickle_refused"), (f"http://{here}/zip/", 400, "malformed_file"), (f"http://{here}/gzip/", 502, "malformed_answer"), (f"http://{here}/misplaced/", 502, "malformed_answer"), (f"http://{here}/html/", 400, "malformed_file"),
            (f"http://{here}/teapot/", 502, "malformed_answer"), (f"http://{here}/nothing/", 404, "source_not_found"),
        ]
        options = ["--plain-http-sources", "--local-source-host", "127.0.0.1", "--adapter-root", inner("root")]
        for host in ("127.0.0.1", "127.0.0.2", "localhost", "169.254.169.254", "::ffff:169.254.169.254", "0.0.0.0", "10.0.0.1"): options += ["--source-host", host]
        with Server(*options, cache=cache, home=inner("home")) as server:
            untouched = Untouched(server, cache, place)
            for case in cases: untouched.refuses(*case)
            for name in ("..%2fx", "%2e%2e%2fx", "%2e%2e/%2e%2e/x", "../x", "..", "%2fetc%2fpasswd", "x%00y", "x%0ay", "x%20y", "%C3%A9", "%zz", ".x", "x%5c..%5cy"):
                refused(server.request("PUT", f"/admin/adapters/{name}", {"source": inner("root/good")}), 400, "invalid_value")
                untouched.check(name)
            good(server.put("x", inner("root/good"))); right(server, "x", POOL[0])
            good(server.put("y", f"http://{here}/good/")); right(server, "y", POOL[0])
            web.acts["/good/" + weights] = sources.cut(1)
            good(server.put("y", f"http://{here}/good/"))
            assert ("GET", "/good/" + weights) in [a[:2] for a in web.asked if a[2]], "what had come was not continued"
            assert untouched.files() == untouched.before


@check
def hostile_hubs_and_buckets():
    place, cache, root, buckets = fresh(), fresh(), repositories(POOL[0]), fresh()
    weights, config = (pathlib.Path(root, "acme/r0", name).read_bytes() for name in ("adapter_model.safetensors", "adapter_config.json"))
    commit = fake_hub.commit(pathlib.Path(root, "acme/r0"))
    at = f"/acme/r0/resolve/{commit}/"
    api, metadata = "/api/models/acme/r0/revision/main", "http://169.254.169.254/latest/meta-data/"
    listing = lambda *names, sha=commit: sources.say(json.dumps({"sha": sha, "siblings": [{"rfilename": name} for name in names]}).encode())
    blob = lambda content: f'"{hashlib.sha1(b"blob %d" % len(content) + bytes(1) + content).hexdigest()}"'
    def linked(target, commit=commit):
        headers = {"Location": target, "X-Repo-Commit": commit, "X-Linked-Etag": f'"{hashlib.sha256(weights).hexdigest()}"', "X-Linked-Size": len(weights)}
        return {at + "adapter_model.safetensors": lambda handler, _: sources.reply(handler, 302, headers)}
    cases = [
        ("no JSON", {api: sources.say(b"<html>")}, 502, "malformed_answer"), ("a list", {api: sources.say(b"[]")}, 502, "malformed_answer"), ("a commit that is a path", {api: listing(sha="../" * 13 + "x")}, 502, "malformed_answer"),
        ("names that lead out", {api: listing("../adapter_config.json", "/adapter_model.safetensors", "x/../adapter_model.safetensors", "adapter_model.safetensors/", "..")}, 404, "source_not_found"),
        ("a list without end", {api: sources.endless}, 413, "source_too_large"), ("a pickle", {api: listing("adapter_config.json", "adapter_model.bin")}, 400, "pickle_refused"),
        ("another commit", linked(metadata, "0" * 40), 503, "changed_meanwhile"), ("weights at a metadata service", linked(metadata), 403, "private_address"), ("weights at a stranger's", linked("http://models.example.com/x"), 403, "redirect_refused"),
        ("weights in a file", linked("file:///etc/passwd"), 403, "redirect_refused"),
        ("a changed configuration", {at + "adapter_config.json": sources.say(sources.flipped(config), {"ETag": blob(config), "X-Repo-Commit": commit})}, 502, "checksum_mismatch"),
    ]
    os.mkdir(os.path.join(buckets, "adapters"))
    for name in ("corrupt", "moved", "flood"): copy(POOL[0], os.path.join(buckets, "adapters", name))
    with sources.Hub(root, "hub-token-1234") as hub, sources.Web(buckets) as web:
        for name, act in (("corrupt", sources.corrupt), ("moved", sources.redirect(metadata)), ("flood", sources.flood)): web.acts[f"/adapters/{name}/adapter_model.safetensors"] = act
        env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hub-token-1234", "AWS_ENDPOINT_URL": web.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "aws-secret-1234"}
        with Server(*LOCAL, "--source-host", "169.254.169.254", cache=cache, env=env, home=place) as server:
            untouched = Untouched(server, cache, place, root, buckets)
            for case, answers, status, code in cases:
                hub.answers = answers
                untouched.refuses("hf:acme/r0", status, code, case)
            hub.answers = {}
            for act, status, code in ((sources.flip, 502, "checksum_mismatch"), (sources.flood, 413, "source_too_large"), (sources.compress, 502, "malformed_answer"), (sources.redirect(metadata), 403, "private_address")):
                hub.acts["acme/r0"] = act
                untouched.refuses("hf:acme/r0", status, code, f"content that the Hub keeps elsewhere: {code}")
            del hub.acts["acme/r0"]
            for name, status, code in (("corrupt", 502, "checksum_mismatch"), ("moved", 403, "redirect_refused"), ("flood", 413, "source_too_large")): untouched.refuses(f"s3://adapters/{name}", status, code)
            good(server.put("x", "hf:acme/r0")); right(server, "x", POOL[0])
            assert {token for where, _, _, token, _ in hub.asked if where == "content"} == {None}
            assert "hub-token" not in server.text() and "aws-secret" not in server.text()
