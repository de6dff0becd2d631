"""Watched folders and what lies in them."""
import os, shutil

from cache_server import *


def follows(server, name, adapter):
    """Until a name means an adapter; what it says before must be right, too."""
    def is_there():
        status, r = server.ask(name)
        if status != 200: return False
        found = KNOWN[r["martlet"]["adapter_digest"]]
        assert r["choices"][0]["logprobs"]["token_logprobs"] == found.scores, f"{name} answers what no adapter does"
        return found is adapter
    eventually(is_there, f"{name} is {adapter.name}")


@check
def watched_folder():
    watched = fresh()
    place = lambda name: os.path.join(watched, name)
    copy(POOL[0], place("one"))
    with Server("--adapters", watched, cache=fresh()) as server:
        right(server, "one", POOL[0])
        copy(POOL[1], place("two")); os.mkdir(place("not-an-adapter")); open(place("file"), "w").close()
        follows(server, "two", POOL[1])
        rewrite(POOL[2], place("one"))  # of another rank: for a moment the files do not go together
        follows(server, "one", POOL[2])
        os.rename(place("two"), os.path.join(fresh(), "old")); copy(BIG[0], place("two"))
        follows(server, "two", BIG[0])
        rewrite(BIG[1], place("two"))  # of the same size
        follows(server, "two", BIG[1])
        shutil.rmtree(place("one"))
        eventually(lambda: server.ask("one")[0] == 404, "one is gone")
        assert sorted(server.models()) == ["base", "two"], server.models()
        # A name that was rolled back stays where it is, whatever its folder does.
        good(server.put("two", digest=BIG[0].digest))
        rewrite(POOL[3], place("two")); copy(POOL[4], place("three"))
        follows(server, "three", POOL[4])
        right(server, "two", BIG[0])


@check
def a_refused_adapter_stays_refused():
    watched = fresh()
    broken = copy(POOL[0], os.path.join(watched, "broken"))
    os.truncate(os.path.join(broken, "adapter_model.safetensors"), 5000)
    with Server("--adapters", watched, cache=fresh()) as server:
        assert server.entry("broken")["fault"], server.entry("broken")
        status, r = server.ask("broken")
        assert status == 400 and r["error"]["code"] in ("malformed_file", "adapter_refused"), (status, r)
        copy(POOL[1], os.path.join(watched, "later"))
        eventually(lambda: "later" in server.models(), "the folder was looked at again")
        assert server.entry("broken")["fault"], "nothing has changed, and the fault is forgotten"
        rewrite(POOL[2], broken)
        follows(server, "broken", POOL[2])


@check
def odd_folders_do_no_harm():
    watched, cache = fresh(), fresh()
    copy(POOL[0], os.path.join(watched, "good"))
    for name in (".being-copied", "with space", "x" * 220): copy(POOL[1], os.path.join(watched, name))
    with Server("--adapters", watched, cache=cache) as server:
        right(server, "good", POOL[0])
        copy(POOL[2], os.path.join(watched, "base")); copy(POOL[3], os.path.join(watched, ".later"))
        os.symlink("loop", os.path.join(watched, "loop"))
        copy(POOL[4], os.path.join(watched, "z"))
        follows(server, "z", POOL[4])
        assert sorted(server.models()) == ["base", "good", "z"], server.models()
        assert server.score("base")[0] is None


@check
def an_adapter_that_broke_does_not_stop_the_start():
    watched, cache = fresh(), fresh()
    for name, adapter in zip(("short", "half", "whole"), POOL): copy(adapter, os.path.join(watched, name))
    with Server("--adapters", watched, cache=cache) as server:
        for name, adapter in zip(("short", "half", "whole"), POOL): right(server, name, adapter)
    os.truncate(os.path.join(watched, "short/adapter_model.safetensors"), 5000)
    os.remove(os.path.join(watched, "half/adapter_model.safetensors"))
    with Server("--adapters", watched, cache=cache) as server:
        right(server, "whole", POOL[2])
        for name in ("short", "half"):
            status, r = server.ask(name)
            assert status in (200, 400, 404), (name, status, r)
            if status == 200: assert KNOWN[r["martlet"]["adapter_digest"]].name == f"a{('short', 'half').index(name):02d}"
