"""Checks of the page: the sections and what they show: adapters, now, ask."""
from page_browser import *


@check
def adapters_are_listed(browser, site):
    with Tab(browser, site.url) as tab:
        page = tab.open(ready=".rows .row")
        eventually(lambda: [cells[0] for cells in rows(page)] == NAMES, "all adapters are listed")
        page.fill("#search", "PIR")
        eventually(lambda: [cells[0] for cells in rows(page)] == ["pirate"], "search leaves one")
        page.fill("#search", "")
        eventually(lambda: len(rows(page)) == len(NAMES), "all again")
        page.click("text=Size")
        sizes = [site.server.get(f"/v1/models/{cells[0]}")[1]["bytes"] for cells in rows(page)]
        assert sizes == sorted(sizes, reverse=True), sizes
        page.locator(".rows .row").first.click()
        assert ADAPTERS in eventually(lambda: page.inner_text("#entry-facts"), "the entry is shown")
        tab.shoot("adapters-entry")


@check
def an_adapter_that_is_asked_moves_to_ram(browser, site):
    """On a server whose RAM holds two of the demo adapters."""
    with Site("--host-memory", "3MB") as small, Tab(browser, small.url) as tab:
        page = tab.open(ready=".rows .row")
        def tiers(): return {cells[0]: cells[1] for cells in rows(page)}
        eventually(lambda: set(tiers()) == set(NAMES), "all are listed")
        for _ in range(2):
            name = eventually(lambda: next((n for n, t in tiers().items() if t != "RAM"), None), "one is not in RAM")
            status, r = small.server.post("/v1/chat/completions", {"model": name, "messages": user("Hi"), "max_tokens": 2})
            assert status == 200, r
            start = time.time()
            eventually(lambda: tiers()[name] == "RAM", f"{name} is shown in RAM", 5)
            eventually(lambda: "Disk" in tiers().values(), "another has left RAM", 5)
            print(f"        {name} was shown in RAM {time.time() - start:.2f} s after its answer")
        eventually(lambda: row(page, name)[4] != "–", "it is warm")
        tab.shoot("adapters-few")


@check
def ask_three_models(browser, site):
    with Tab(browser, site.url) as tab:
        page = tab.open("ask")
        page.wait_for_selector(".chosen li")
        page.fill("#ask-text", "What is rain?")
        for name in ("pirate", "shout"): choose(page, "#ask-model", name)
        page.locator("#ask summary").first.click()
        page.fill("#ask-tokens", "24")
        page.check("#ask-tint")
        page.click("#ask-send")
        page.wait_for_selector("#ask-send:visible", timeout=60000)
        for number, model in enumerate(("base", "pirate", "shout")):
            card = page.locator(".answer").nth(number)
            assert card.locator("h3").inner_text() == model
            text = card.locator(".text").evaluate("node => [...node.children].filter((span) => span.className !== 'end').map((span) => span.textContent).join('')")
            r = site.server.post("/v1/chat/completions", {"model": model, "messages": user("What is rain?"), "temperature": 0, "max_tokens": 24})[1]
            assert text.startswith(r["choices"][0]["message"]["content"]), (text, r)
            assert re.search(r"first token .*, [\d.]+ tokens/s, \d+ tokens", card.locator(".status").inner_text())
        answer = page.locator(".answer .text").nth(1)
        answer.focus()
        page.keyboard.press("ArrowRight")
        token = page.locator(".answer .token").nth(1)
        assert token.locator("tr").count() >= 3 and "Token 2 of" in token.inner_text()
        answer.locator("span").nth(4).hover()
        assert "Token 5 of" in token.inner_text()
        page.locator(".answer summary").nth(1).click()
        eventually(lambda: "<|im_start|>user\nWhat is rain?" in page.locator(".answer pre").nth(1).inner_text(), "the prompt is rendered")
        tab.shoot("ask")
        # As many as there may be, at the same time: none waits until another has ended.
        page.fill("#ask-tokens", "60")
        for name in ("haiku", "headline"): choose(page, "#ask-model", name)
        page.click("#ask-send")
        eventually(lambda: page.evaluate("[...document.querySelectorAll('.answer .text')].filter((node) => node.childElementCount).length") == 5, "all five have begun")
        assert page.locator(".answer .text[aria-busy=true]").count() >= 3, "others have ended before the last began"
        page.wait_for_selector("#ask-send:visible", timeout=60000)
        # A schema, a refusal, a stop.
        page.fill("#ask-schema", '{"type": "object", "properties": {"wet": {"type": "boolean"}}, "required": ["wet"], "additionalProperties": false}')
        page.fill("#ask-tokens", "100")
        page.click("#ask-send")
        page.wait_for_selector("#ask-send:visible", timeout=60000)
        text = page.locator(".answer .text").first.evaluate("node => [...node.children].filter((span) => span.className !== 'end').map((span) => span.textContent).join('')")
        assert "wet" in json.loads(text), text
        page.fill("#ask-schema", "{")
        page.click("#ask-send")
        assert "no JSON" in page.inner_text("#ask-error")
        page.fill("#ask-schema", "")
        page.fill("#ask-tokens", "4000")
        page.fill("#ask-system", "Count to a million.")
        page.click("#ask-send")
        page.wait_for_selector(".answer .text span")
        page.click("#ask-stop")
        page.wait_for_selector("#ask-send:visible", timeout=5000)
        assert "stopped" in page.locator(".answer .status").first.inner_text()
        eventually(lambda: site.server.get("/admin/state")[1]["running"] == 0, "what was stopped runs no more")


@check
def now_shows_what_runs(browser, site):
    with Tab(browser, site.url) as tab:
        page = tab.open("now")
        body = {"model": "pirate", "messages": user("Tell me a long story."), "max_tokens": 150, "ignore_eos": True, "stream": True}
        requests = [subprocess.Popen(["curl", "-sN", f"http://127.0.0.1:{site.server.port}/v1/chat/completions", "-H", "Content-Type: application/json", "-d", json.dumps(b)], stdout=subprocess.DEVNULL) for b in (body, {**body, "model": "base"})]
        def figure(id): return float(page.inner_text(f"#{id}").split()[0].replace(",", "").replace("–", "0"))
        eventually(lambda: figure("running") == 2, "both run")
        eventually(lambda: figure("answers") > 5 and figure("between-p50") > 0 and figure("first-count") >= 0, "tokens are counted")
        legend = eventually(lambda: (text := page.inner_text("#strip-legend")) and "pirate" in text and text, "the adapter has a colour")
        print(f"        {page.inner_text('#answers')} tokens/s, {page.inner_text('#between-p50')} between tokens, {' '.join(legend.split())}")
        for request in requests: request.wait(60)
        tab.shoot("now")


@check
def a_router_shows_its_replicas(browser, site):
    state = {"replicas": [{"name": f"replica-{i}", "ready": i < 2, "joining": False, "draining": i == 2, "silent_seconds": 0.1 * i, "running": i, "waiting": 0, "slots": 64, "host": {"bytes": 1 << 30, "budget": 4 << 30}} for i in range(3)],
             "adapters": [{"name": name, "heat": 1.5, "copies": 1, "planned": ["replica-0"], "bytes": 9 << 20, "tiers": {"replica-1": "host"}} for name in page_server.HOSTILE], "held": 1, "counts": {"picked": 40, "held": 2, "refused": 0, "loads": 3}}
    server, url = page_server.listen(page_server.Routing, state=state, **page_of(site))
    try:
        with Tab(browser, url, refusals=["404"]) as tab:
            shown = tab.open("now", ready="#replicas td")
            assert shown.locator("#replicas tbody tr").count() == 3 and shown.locator("#holdings tbody tr").count() == len(page_server.HOSTILE)
            assert shown.locator("#holdings tbody th").first.inner_text() == page_server.HOSTILE[0] and not axe(shown)
            tab.shoot("router")
    finally: server.shutdown()
