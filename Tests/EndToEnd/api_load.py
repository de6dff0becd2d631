"""Clients that leave, many clients, and the end."""
import concurrent.futures as futures
import http.client, json, os, random, socket, threading, time
import openai

from api_server import *


@check
def leaving_frees_the_sequence(_):
    with Server("--max-step-tokens", "64") as server:
        server.score("base", [1, 2, 3])
        total = server.metric("martlet_kv_blocks")
        idle = lambda: server.metric("martlet_requests_running") == 0 and server.metric("martlet_requests_waiting") == 0 and server.metric("martlet_kv_blocks_free") == total
        def leave(body, after, read=True):
            payload = json.dumps(body).encode()
            s = socket.create_connection(("127.0.0.1", server.port))
            s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(payload) + payload)
            if read: s.recv(100)
            time.sleep(after); s.close()
        long = {"model": "base", "prompt": [9] * 6000, "max_tokens": 100, "ignore_eos": True}
        for body, after, read in ((long, 0.4, False), ({**long, "stream": True}, 0.4, False), ({"model": "pirate", "prompt": "Hi", "max_tokens": 4000, "stream": True, "ignore_eos": True}, 0.3, True),
                                  ({"model": "base", "prompt": "Hi", "max_tokens": 4000, "ignore_eos": True, "n": 4}, 0.3, False)):
            leave(body, after, read)
            deadline = time.time() + 5
            while not idle() and time.time() < deadline: time.sleep(0.05)
            assert idle(), (str(body)[:60], server.get("/metrics")[1])
        # A kept-alive connection goes on working, also after an error.
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for body in ({"model": "base", "prompt": "Hi", "max_tokens": 2}, {"model": "nope", "prompt": "Hi"}, {"model": "base", "prompt": "Hi", "max_tokens": 2, "stream": True}, {"model": "base", "prompt": "Hi", "max_tokens": 2}):
            connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse(); response.read()
            assert response.status == (404 if body["model"] == "nope" else 200)


@check
def a_full_queue_says_so(_):
    with Server("--max-sequences", "1", "--max-waiting", "1") as server:
        body = {"model": "base", "prompt": "Hi", "max_tokens": 60, "ignore_eos": True}
        answers = together(lambda _: server.post("/v1/completions", body), range(8))
        assert {s for s, _ in answers} == {200, 429} and all(r["error"]["code"] == "queue_full" for s, r in answers if s == 429)


@check
def two_hundred_streams_and_a_clean_end(_):
    seconds = float(os.environ.get("MARTLET_SOAK_SECONDS", "20"))
    with Server() as server:
        names, failures, done = ["base"] + NAMES, [], [0]
        lock, end = threading.Lock(), time.time() + seconds
        def client(i):
            rng = random.Random(i)
            while time.time() < end:
                try:
                    body = {"model": names[i % 7], "prompt": "word " * rng.randrange(1, 30), "max_tokens": rng.randrange(1, 24), "stream": True, "ignore_eos": True}
                    status, text = server.post("/v1/completions", body)
                    assert status == 200 and text.rstrip().endswith("[DONE]"), (status, text[-200:])
                    with lock: done[0] += 1
                except Exception as error: failures.append(repr(error))
        threads = [threading.Thread(target=client, args=(i,)) for i in range(200)]
        for t in threads: t.start()
        time.sleep(seconds / 2); half = server.rss()
        for t in threads: t.join()
        grown = (server.rss() - half) / half
        print(f"    {done[0]} streams, resident {half >> 10} MiB at half time, {grown:+.1%} at the end")
        assert not failures, failures[:3]
        assert grown < 0.1, grown
        assert server.metric("martlet_kv_blocks_free") == server.metric("martlet_kv_blocks")
        # Told to stop in mid-stream, it finishes what it began and exits 0.
        result = []
        t = threading.Thread(target=lambda: result.append(server.post("/v1/completions", {"model": "base", "prompt": "Hi", "max_tokens": 150, "stream": True, "ignore_eos": True})))
        t.start(); time.sleep(0.4)
        assert server.stop() == 0, server.text()[-2000:]
        t.join()
        assert result[0][0] == 200 and result[0][1].rstrip().endswith("[DONE]")
