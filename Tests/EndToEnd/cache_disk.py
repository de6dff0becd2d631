"""Packs on the disk: restarts, kills, damage, full disks, quotas."""
import errno, http.client, os, random, re, resource, shutil, subprocess, threading, time

import sources
from cache_server import *


@check
def everything_survives_a_restart():
    cache, folder = fresh(), fresh()
    keeps = ("name", "source", "revision", "digest", "pinned", "rank", "modules", "bytes", "created", "updated", "fault")
    with Server(cache=cache) as server:
        for name, adapter in (("x", BIG[0]), ("y", POOL[1]), ("z", POOL[2])): good(server.put(name, copy(adapter, os.path.join(folder, name))))
        good(server.act("x", "pin")); good(server.delete("z"))
        for _ in range(5): right(server, "x", BIG[0]); right(server, "y", POOL[1])
        before = server.entries()
        assert sorted(inside(cache, "packs")) == sorted(a.digest + ".pack" for a in (BIG[0], POOL[1])), inside(cache, "packs")
    files = lambda: [(os.stat(pack(cache, a)).st_ino, os.stat(pack(cache, a)).st_mtime_ns) for a in (BIG[0], POOL[1])]
    written = files()
    shutil.rmtree(folder)
    with Server(cache=cache) as server:
        after = server.entries()
        assert [[e[k] for k in keeps] for e in before.values()] == [[e[k] for k in keeps] for e in after.values()], (before, after)
        assert all(after[n][k] >= before[n][k] > 0 for n in "xy" for k in ("hits", "loads", "last_use")), (before, after)
        right(server, "x", BIG[0]); right(server, "y", POOL[1])
        assert server.metric("martlet_adapter_pack_seconds_count") == 0, "something was packed again"
        assert files() == written, "a pack was written again"
        refused(server.act("x", "demote"), 409, "adapter_in_use")
        good(server.delete("x"))
    with Server(cache=cache) as server:
        assert list(server.entries()) == ["y"] and inside(cache, "packs") == [POOL[1].digest + ".pack"]
        right(server, "y", POOL[1])
        refused(server.ask("x"), 404, "model_not_found")
        tidy(cache)


class Writer(threading.Thread):
    """Changes names of its own until the server dies. `truth` is what was acknowledged, `pending` what was not yet: a
    number in the pool and whether it is pinned, or None.
    """

    def __init__(self, server, seed, names, truth):
        super().__init__()
        self.server, self.rng, self.names, self.truth, self.pending, self.wrong, self.count = server, random.Random(seed), names, truth, {}, [], 0

    def run(self):
        while not self.wrong:
            name, action = self.rng.choice(self.names), self.rng.choice(["put"] * 6 + ["delete", "delete", "pin", "unpin", "demote", "verify", "warm"])
            before = after = self.truth.get(name)
            if action == "put": after = (self.rng.randrange(8), before[1] if before else False)
            elif action == "delete": after = None
            elif before and action in ("pin", "unpin"): after = (before[0], action == "pin")
            self.pending[name] = after
            try:
                if action == "put": status, r = self.server.put(name, POOL[after[0]].path)
                elif action == "delete": status, r = self.server.delete(name)
                else: status, r = self.server.act(name, action)
            except (OSError, http.client.HTTPException): return
            if status == 200: self.truth[name] = after; self.count += 1
            elif not (status == 404 and before is None or status == 409 and action == "demote"): self.wrong.append((name, action, before, status, r))
            del self.pending[name]


class Reader(threading.Thread):
    """Asks for names until the server dies; whatever is answered must be right."""

    def __init__(self, server, seed, names):
        super().__init__()
        self.server, self.rng, self.names, self.wrong = server, random.Random(seed), names, []

    def run(self):
        while not self.wrong:
            name = self.rng.choice(self.names)
            try: status, r = self.server.ask(name)
            except (OSError, http.client.HTTPException): return
            if status == 404: continue  # removed, or pushed out while it was replaced
            if status != 200: self.wrong.append((name, status, r)); return
            adapter = KNOWN.get(r["martlet"]["adapter_digest"])
            if not adapter or r["choices"][0]["logprobs"]["token_logprobs"] != adapter.scores: self.wrong.append((name, r))


@check
def kill_nine_at_random_points():
    rng, cache, truth = random.Random(3), fresh(), {}
    # Room for five packs of eight, so that they push each other out.
    options = ["--disk-quota", str(5 * pack_size(BIG[0]))]
    names = [[f"w{w}/{n}" for n in "abc"] for w in range(2)]
    number, changes = {a.digest: i for i, a in enumerate(POOL)}, 0
    server = Server(*options, cache=cache)
    try:
        for round in range(KILLS):
            writers = [Writer(server, rng.random(), n, truth) for n in names]
            threads = writers + [Reader(server, rng.random(), sum(names, []))]
            for t in threads: t.start()
            time.sleep(rng.uniform(0.05, 0.8))
            server.kill()
            for t in threads: t.join()
            wrong = sum((t.wrong for t in threads), [])
            assert not wrong, wrong[:3]
            changes += sum(w.count for w in writers)
            pending = {**writers[0].pending, **writers[1].pending}
            if rng.random() < 0.2:  # also while it starts
                server = Server(*options, cache=cache, waits=False)
                time.sleep(rng.uniform(0.02, 0.8)); server.kill()
            server = Server(*options, cache=cache)
            entries = server.entries()
            for name in sum(names, []):
                entry, was = entries.pop(name, None), truth.get(name)
                found = entry and (number.get(entry["digest"]), entry["pinned"])
                assert found in [was, pending.get(name, was)], f"round {round}: {name} is {entry}, acknowledged was {was}, under way {pending.get(name, 'nothing')}"
                truth[name] = found
            assert not entries, f"round {round}: nobody has put {entries}"
            for name, state in truth.items():
                if state: right(server, name, POOL[state[0]])
            tidy(cache)
            assert not inside(cache, "quarantine"), f"round {round}: a pack was damaged"
        print(f"    {KILLS} kills, {changes} changes acknowledged")
        assert changes > KILLS, changes
        for name, state in truth.items():
            if state: good(server.delete(name))
        assert server.stop() == 0, server.text()[-2000:]
        server = Server(*options, cache=cache)
        assert not server.entries(), server.entries()
        tidy(cache)
        kept = {p[:-5] for p in inside(cache, "packs")}
        assert kept <= {a.digest for a in POOL[:8]}, kept  # what names stood for before they were replaced
        assert server.stop() == 0, server.text()[-2000:]
    finally: server.kill()


@check
def damaged_packs_are_made_again():
    cache, folder = fresh(), fresh()
    a, b = BIG[:2]
    source = copy(a, os.path.join(folder, "a"))
    with Server(cache=cache) as server:
        good(server.put("x", source)); good(server.put("y", b.path)); right(server, "x", a); right(server, "y", b)
        path = pack(cache, a)
        def harm(how):
            demote(server, "x")
            assert server.entry("x")["tier"] == "disk", server.entry("x")
            how()
        def link(): os.rename(path, path + ".away"); os.symlink(path + ".away", path)
        for count, how in enumerate((lambda: damage(path), lambda: damage(path, 100), lambda: os.truncate(path, 5000), lambda: os.truncate(path, 0), link), 1):
            harm(how)
            right(server, "x", a)
            assert inside(cache, "quarantine") == [f"{a.digest}.pack"], inside(cache, "quarantine")
            assert server.metric("martlet_adapter_packs_damaged_total") == count
            assert os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) == pack_size(a)
        os.remove(path + ".away")
        harm(lambda: os.remove(path))
        right(server, "x", a)
        assert good(server.act("x", "verify"))["whole"] is True
        damage(path)
        assert good(server.act("x", "verify"))["whole"] is False
        assert good(server.act("x", "verify"))["whole"] is True
        # Neither whole nor to be had again: refused, and nothing else in its place.
        os.rename(source, source + ".away")
        harm(lambda: damage(path))
        refused(server.ask("x"), 503, "source_not_found")
        refused(server.ask("x"), 503, "source_not_found")
        refused(server.act("x", "verify"), 404, "source_not_found")
        copy(b, source)
        refused(server.ask("x"), 409, "adapter_changed")
        right(server, "y", b)
        assert server.score("base")[0] is None
        shutil.rmtree(source); os.rename(source + ".away", source)
        right(server, "x", a)
        assert good(server.act("x", "verify"))["whole"] is True
        # A source that changed does not come in through the back door either.
        damage(path); rewrite(b, source)
        server.act("x", "verify")
        assert server.entry("x")["digest"] == a.digest
        idle(server); tidy(cache)


class SmallDisk:
    """A place for a cache that can be full. Where this process may mount one, it is a file system of its own. Elsewhere the
    server's files are limited in size, beyond which writing fails too, if with another error; its log is small enough.
    """

    def __enter__(self):
        self.place = fresh()
        self.cache, self.ballast = os.path.join(self.place, "cache"), os.path.join(self.place, "ballast")
        command = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", self.place]
        self.is_mounted = os.geteuid() == 0 and bool(shutil.which("mount")) and subprocess.run(command, capture_output=True).returncode == 0
        if not self.is_mounted: print("    nothing can be mounted here: a limit on the size of files stands for a full disk")
        # How a source is refused that there is no room to copy. A file that may not be as large is none of the disk's faults.
        self.refusal = (507, "unwritable_file") if self.is_mounted else (400, "unreadable_file")
        return self

    def __exit__(self, *_):
        if self.is_mounted: subprocess.run(["umount", "-l", self.place], check=True)

    def fill(self, server, left):
        """Leaves room for so many bytes."""
        if not self.is_mounted: return self.limit(server, max(left, 100_000))
        with open(self.ballast, "ab", buffering=0) as file:
            try:
                while True: file.write(bytes(1 << 16))
            except OSError as error: assert error.errno == errno.ENOSPC, error
            file.truncate(file.tell() - left)

    def clear(self, server): os.remove(self.ballast) if self.is_mounted else self.limit(server, resource.RLIM_INFINITY)

    @staticmethod
    def limit(server, count): resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (count, resource.RLIM_INFINITY))


@check
def a_full_disk_takes_nothing_away():
    hot, cold, small, late = BIG[0], POOL[1], POOL[0], POOL[2]
    with SmallDisk() as disk:
        # Python ignores SIGXFSZ, which would end the server at the limit; so does what it starts like this.
        with Server(cache=disk.cache, restore_signals=False) as server:
            for name, adapter in (("hot", hot), ("cold", cold)): good(server.put(name, adapter.path)); right(server, name, adapter)
            packs = set(inside(disk.cache, "packs"))
            def tells():
                """What was there is served from where it was, and nothing is said to be on the disk that is not."""
                right(server, "hot", hot); right(server, "cold", cold)
                demote(server, "cold")
                assert server.entry("cold")["tier"] == "disk"
                right(server, "cold", cold)
                assert server.score("base")[0] is None and server.request("GET", "/ready")[0] == 200
                assert set(inside(disk.cache, "packs")) == packs and server.tiers()["disk"]["adapters"] == server.metric("martlet_adapters_disk") == 2
                eventually(lambda: not inside(disk.cache, "staging"), "staging is empty")
            # Room for what this source has, 240 KB, and not for its pack of 650.
            disk.fill(server, left=400_000)
            entry = good(server.put("new", small.path))
            assert (entry["digest"], entry["tier"]) == (small.digest, "source"), entry
            right(server, "new", small)
            assert server.entry("new")["tier"] == "host"
            assert server.metric("martlet_adapter_packs_not_stored_total") == 2, "it was read once for its name and once for a request"
            demote(server, "new")
            assert server.entry("new")["tier"] == "source"
            right(server, "new", small)
            tells()
            # No room at all.
            disk.fill(server, left=0)
            refused(server.put("late", late.path), *((507, "catalog_unusable") if disk.is_mounted else disk.refusal))
            missing(server, "late")
            right(server, "new", small)
            tells()
            demote(server, "new")
            # Read into memory where the disk has no room for a copy.
            if disk.is_mounted: right(server, "new", small); demote(server, "new")
            else: refused(server.ask("new"), *disk.refusal)
            is_pinned = False
            for _ in range(200):  # with a limit the catalog's log has not reached it yet
                answer = server.act("hot", "unpin" if is_pinned else "pin")
                if answer[0] != 200: break
                is_pinned = not is_pinned
            refused(answer, 507, "catalog_unusable")
            assert server.entry("hot")["pinned"] is is_pinned
            refused(server.delete("cold"), 507, "catalog_unusable")
            refused(server.put("cold", digest=hot.digest), 507, "catalog_unusable")
            tells()
            # Room again: everything goes on by itself.
            disk.clear(server)
            right(server, "new", small)
            demote(server, "new")
            assert server.entry("new")["tier"] == "disk"
            good(server.put("late", late.path)); right(server, "late", late)
            good(server.delete("cold"))
            idle(server); tidy(disk.cache)
            told = [l for l in server.text().splitlines() if re.search(r" (warning|error) ", l)]
        with Server(cache=disk.cache) as server:
            assert sorted(server.entries()) == ["hot", "late", "new"], server.entries()
            for name, adapter in (("hot", hot), ("late", late), ("new", small)): right(server, name, adapter)
            tidy(disk.cache)
    assert any(small.digest[:12] in l or "adapter=new" in l for l in told), f"the log does not say whose pack found no room: {told}"


@check
def a_quota_full_of_pins_costs_only_the_pack():
    a, b = BIG[:2]
    with Server("--disk-quota", str(pack_size(a) + 4096), cache=fresh()) as server:
        good(server.put("a", a.path)); good(server.act("a", "pin")); right(server, "a", a)
        good(server.put("b", b.path)); right(server, "b", b)
        assert server.entry("b")["tier"] == "host" and server.metric("martlet_adapter_packs_not_stored_total") == 2
        demote(server, "b")
        assert server.entry("b")["tier"] == "source"
        right(server, "b", b); right(server, "a", a)
        disk = server.tiers()["disk"]
        assert (disk["adapters"], disk["bytes"]) == (1, pack_size(a)) and disk["bytes"] <= disk["budget"], disk


@check
def a_second_process_is_refused():
    cache = fresh()
    with Server(cache=cache) as server:
        good(server.put("x", BIG[0].path))
        r = subprocess.run(Server.command(sources.free_port(), cache), capture_output=True, text=True, timeout=60)
        assert r.returncode > 0 and "in use by another process" in r.stderr and "--disk-cache" in r.stderr, r
        right(server, "x", BIG[0])
        server.kill()
    with Server(cache=cache) as server: right(server, "x", BIG[0])
