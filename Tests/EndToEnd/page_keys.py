"""Checks of the page: who may do what on the page, and where it is served."""
from page_browser import *


@check
def an_open_server_is_read_only(browser, site):
    with Tab(browser, site.url, refusals=["403"]) as tab:
        page = tab.open("manage")
        eventually(lambda: "without keys" in page.inner_text("#banner") and "--api-key-file" in page.inner_text("#manage-why"), "it says why")
        choose(page, "#manage-name", "pirate")
        page.wait_for_selector("#manage-entry:visible")
        states = page.eval_on_selector_all("#manage button[data-needs]", "all => all.map((button) => [button.textContent, button.disabled])")
        assert [text for text, disabled in states if not disabled] == ["Warm"], states
        page.click("[data-action=warm]")
        eventually(lambda: "pirate is in RAM" in page.inner_text("#manage-log"), "warm works")
        # A key for another server does not help here.
        page.click("#key-button")
        give_key(page, ADMIN)
        eventually(lambda: page.inner_text("#key-button") == "Key ✓" and "without keys" in page.inner_text("#banner"), "it still says why")
        assert page.is_disabled("[data-action=pin]")


@check
def managing_with_an_admins_key(browser, _):
    with Site("--api-key-file", keys()) as site, Tab(browser, site.url, refusals=["401", "403", "404", "400", "409"]) as tab:
        page = tab.open("manage", ready="#key-dialog[open]")
        assert "asks for a key" in page.inner_text("#key-why")
        tab.shoot("key")
        give_key(page, "wrong-key-1234", is_taken=False)
        eventually(lambda: "not known" in page.inner_text("#key-why"), "a wrong key is refused")
        give_key(page, CALLER)
        eventually(lambda: "only Ask works" in page.inner_text("#banner") and page.is_visible("#ask"), "a caller may ask")
        page.wait_for_selector(".chosen li")
        page.fill("#ask-text", "Hi")
        choose(page, "#ask-model", "pirate")
        page.click("#ask-send")
        page.wait_for_selector(".answer .text span", timeout=30000)
        page.wait_for_selector("#ask-send:visible", timeout=30000)
        page.click("#key-button")
        give_key(page, ADMIN)
        kept = page.evaluate("[Object.values(localStorage).join(), Object.values(sessionStorage).join(), document.cookie]")
        assert kept == ["ask", ADMIN, ""] or kept == ["manage", ADMIN, ""], kept
        page.goto(site.url + "#manage")
        page.wait_for_selector("#manage:visible")
        log = lambda: page.locator("#manage-log li").first.inner_text() if page.locator("#manage-log li").count() else ""
        page.fill("#add-name", "new/one")
        page.fill("#add-source", os.path.join(ADAPTERS, "pirate"))
        page.click("#add-form button")
        eventually(lambda: "new/one stands for" in log(), "it is added")
        page.fill("#add-name", "new/one")
        page.fill("#add-source", os.path.join(ADAPTERS, "pirate"))
        page.keyboard.press("Enter")
        eventually(lambda: "adapter_exists" in page.inner_text("#manage-error") and "Choose another name" in page.inner_text("#manage-error"), "a name that is taken is refused, with advice")
        choose(page, "#manage-name", "new/one")
        eventually(lambda: page.inner_text("#manage-title") == "new/one", "it is shown")
        for action, says in (("warm", "is in RAM"), ("pin", "is pinned"), ("demote", "adapter_in_use"), ("unpin", "no longer pinned"), ("verify", "is whole"), ("demote", "has left RAM")):
            page.click(f"[data-action={action}]")
            eventually(lambda: says in log(), f"{action}: {says}")
        old = site.server.get("/admin/adapters/new/one", headers={"Authorization": f"Bearer {ADMIN}"})[1]["digest"]
        page.fill("#replace-source", os.path.join(ADAPTERS, "shout"))
        page.click("#replace-form button")
        eventually(lambda: page.is_visible("#back-form"), "the former digest is offered")
        assert page.eval_on_selector_all("#back-digest option", "all => all.map((one) => one.value)") == [old]
        tab.shoot("manage")
        # Somebody else is faster: between what the page has seen and what it sends.
        page.route("**/admin/adapters/new/one", lambda route: (site.server.request("PUT", "/admin/adapters/new/one", {"source": os.path.join(ADAPTERS, "haiku")}, headers={"Authorization": f"Bearer {ADMIN}"}) if route.request.method == "PUT" else None, route.continue_()))
        page.click("#back-form button")
        eventually(lambda: "adapter_changed" in page.inner_text("#manage-error"), "compare and swap refuses")
        page.unroute("**/admin/adapters/new/one")
        page.select_option("#back-digest", old)
        page.click("#back-form button")
        eventually(lambda: site.server.get("/admin/adapters/new/one", headers={"Authorization": f"Bearer {ADMIN}"})[1]["digest"] == old, "rolled back")
        page.click("#remove")
        page.wait_for_selector("#remove-dialog[open]")
        assert "new/one" in page.inner_text("#remove-title") and "new/one" in page.inner_text("#remove-confirm")
        tab.shoot("remove")
        page.keyboard.press("Escape")
        assert site.server.get("/admin/adapters/new/one", headers={"Authorization": f"Bearer {ADMIN}"})[0] == 200
        page.click("#remove")
        page.click("#remove-confirm")
        eventually(lambda: "new/one has been removed" in log(), "it is removed")
        assert site.server.get("/admin/adapters/new/one", headers={"Authorization": f"Bearer {ADMIN}"})[0] == 404


@check
def observers_and_managers(browser, _):
    """Keys between an admin's and a caller's."""
    database = os.path.join(tempfile.mkdtemp(), "tenants.db")
    with Site("--api-key-file", keys(), "--tenants", database) as site:
        admin = {"Authorization": f"Bearer {ADMIN}"}
        def make(**terms): return site.server.post("/admin/keys", terms, headers=admin)[1]["key"]
        observer, manager = make(name="watcher", role="observer"), make(name="keeper", role="manager", namespace="keeper/", models=["keeper/*", "pirate", "base"])
        with Tab(browser, site.url, refusals=["401", "403"]) as tab:
            page = tab.open("manage", ready="#key-dialog[open]")
            give_key(page, observer)
            eventually(lambda: page.inner_text("#status") == "Live", "an observer sees what happens")
            choose(page, "#manage-name", "pirate")
            page.wait_for_selector("#manage-entry:visible")
            page.click("[data-action=pin]")
            eventually(lambda: "admin_key_required" in page.inner_text("#manage-error") and "admin" in page.inner_text("#manage-error-advice"), "an observer changes nothing, and is told why")
        with Tab(browser, site.url, refusals=["401", "403"]) as tab:
            page = tab.open("manage", ready="#key-dialog[open]")
            give_key(page, manager)
            eventually(lambda: "name space" in page.inner_text("#banner"), "a manager is known")
            def tabs(): return page.eval_on_selector_all("nav a", "all => all.filter((link) => link.checkVisibility()).map((link) => link.textContent)")
            eventually(lambda: tabs() == ["Adapters", "Ask", "Manage"], "Now is for operators")
            page.fill("#add-name", "keeper/one")
            page.fill("#add-source", "mix:pirate=0.5")
            page.click("#add-form button")
            eventually(lambda: "keeper/one stands for" in page.inner_text("#manage-log"), "a manager names adapters")
            page.click("nav a[href='#adapters']")
            eventually(lambda: [cells[0] for cells in rows(page)] == ["keeper/one"], "and sees its own")
            page.click("nav a[href='#ask']")
            eventually(lambda: page.locator(".chosen li span").all_inner_texts() == ["base"], "and may ask")


@check
def below_a_prefix_and_after_a_break(browser, site):
    """What happens while the connection is away is seen when it is back."""
    with Site(prefix="/team/martlet/") as below, Tab(browser, below.url, refusals=["ERR_", "502", "503"]) as tab:
        page = tab.open(ready=".rows .row")
        eventually(lambda: len(rows(page)) == len(NAMES), "all are listed")
        assert "/team/martlet/" in below.url
        tab.context.set_offline(True)
        eventually(lambda: "No connection" in page.inner_text("#status") or page.evaluate("navigator.onLine === false"), "it is away")
        tab.context.set_offline(False)
        eventually(lambda: page.inner_text("#status") == "Live", "it is back", 40)
        # Hidden pages ask for nothing.
        page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.isAway, configurable: true }); window.isAway = true; document.dispatchEvent(new Event('visibilitychange'))")
        eventually(lambda: page.inner_text("#status") == "Paused", "it pauses")
        time.sleep(0.5)
        count = len(tab.requests)
        time.sleep(4)
        assert len(tab.requests) == count, tab.requests[count:]
        page.evaluate("window.isAway = false; document.dispatchEvent(new Event('visibilitychange'))")
        eventually(lambda: page.inner_text("#status") == "Live", "it goes on")
        # A server that is started anew has other names.
        below.server.stop()
        eventually(lambda: "No connection" in page.inner_text("#status"), "it is gone")
        below.server = Server("--adapter", f"only={ADAPTERS}/pirate", adapters=False)
        below.proxy.RequestHandlerClass.port = below.server.port
        eventually(lambda: [cells[0] for cells in rows(page)] == ["only"], "what the new server has is listed", 40)
