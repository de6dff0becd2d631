"""A base model that comes from the Hub."""
import os, pathlib, shutil, subprocess, tempfile, threading

import sources
from api_server import *


@check
def a_base_comes_from_the_hub(shared):
    root = pathlib.Path(tempfile.mkdtemp()).resolve()
    (root / "acme/tiny").mkdir(parents=True)
    shutil.copy(MODEL, root / "acme/tiny/model.gguf")
    hubs = list(sources.Hub.pair(root, None))
    port = hubs[0].server_address[1]
    for hub in hubs: threading.Thread(target=hub.serve_forever, daemon=True).start()
    os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{port}"
    question = {"model": "base", "prompt": "Rain is", "max_tokens": 8, "temperature": 0}
    expected = shared.post("/v1/completions", question)[1]["choices"][0]["text"]
    def log_of(model):
        with Server(model=model, adapters=False) as server:
            status, body = server.post("/v1/completions", question)
            assert status == 200 and body["choices"][0]["text"] == expected, body
            return server.text()
    try:
        log = log_of("acme/tiny")
        assert "fetching the model" in log, log
        log = log_of("hf:acme/tiny@main")
        assert "fetching the model" not in log, log
        for hub in hubs: hub.shutdown(); hub.server_close()
        hubs.clear()
        log = log_of("acme/tiny")
        assert "fetched before" in log, log
        result = subprocess.run([MARTLET, "serve", "--model", "acme/other"], capture_output=True, text=True, timeout=60)
        assert result.returncode == 1 and "hf download acme/other" in result.stderr, result
    finally:
        del os.environ["HF_ENDPOINT"]
        for hub in hubs: hub.shutdown(); hub.server_close()
        shutil.rmtree(root, ignore_errors=True)
