"""What the checks of the page share: a browser's tab that notes what it should not do, a server with its page, keys."""
import importlib.util, json, os, re, subprocess, sys, tempfile, time
from urllib.parse import urlsplit

from api_server import ADAPTERS, NAMES, Server, user
import page_server
from page_server import Fake, Many, Proxy

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PAGE, SHOTS = os.environ.get("PAGE"), os.environ.get("SHOTS")
AXE = os.path.join(os.path.dirname(importlib.util.find_spec("axe_playwright_python").origin), "axe.min.js")
ADMIN, CALLER = "admin-key-1234", "caller-key-1234"
SECTIONS = ["adapters", "now", "ask", "manage"]
CHECKS = []

# In every page: what breaks the policy, and tasks that hold up the page.
WATCH = """
window.seen = { violations: [], long: [] };
addEventListener('securitypolicyviolation', (event) => seen.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
new PerformanceObserver((list) => { for (const task of list.getEntries()) seen.long.push(task.duration); }).observe({ type: 'longtask', buffered: true });
"""


def check(function):
    CHECKS.append(function)
    return function


def measurement(function):
    """A check that takes its time and wants the machine for itself: only by its name."""
    return check(function) if function.__name__ in sys.argv else function


class Tab:
    """A page in a window of its own that notes what it should not do."""

    def __init__(self, browser, url, *, width=1280, scheme="dark", refusals=(), motion="no-preference"):
        self.url, self.refusals = url, refusals
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion=motion)
        self.page = self.context.new_page()
        self.page.add_init_script(WATCH)
        self.faults, self.requests = [], []
        self.page.on("console", lambda m: self.hear(m))
        self.page.on("pageerror", lambda e: self.faults.append(f"error: {e}"))
        self.page.on("dialog", lambda d: (self.faults.append(f"dialog: {d.message}"), d.dismiss()))
        self.page.on("request", lambda r: self.requests.append(r.url))

    def hear(self, message):
        if message.type in ("error", "warning") and not any(code in message.text for code in self.refusals): self.faults.append(f"{message.type}: {message.text}")

    def __enter__(self): return self

    def __exit__(self, kind, *_):
        try:
            if kind is None: self.is_clean()
        finally: self.context.close()

    def is_clean(self):
        """Nothing in the console, nothing against the policy, nothing asked of anybody else."""
        violations = self.page.evaluate("seen.violations")
        here = urlsplit(self.url)
        elsewhere = [r for r in self.requests if not r.startswith("data:") and (urlsplit(r).netloc != here.netloc or not urlsplit(r).path.startswith(here.path))]
        assert not self.faults and not violations and not elsewhere, (self.faults[:5], violations[:5], elsewhere[:5])

    def open(self, section="adapters", ready=None):
        self.page.goto(f"{self.url}#{section}")
        self.page.wait_for_selector(ready or f"#{section}:visible")
        return self.page

    def shoot(self, name):
        if SHOTS: self.page.screenshot(path=os.path.join(SHOTS, name + ".png"), full_page=True)


class Site:
    """A server with its page: by itself, or with a proxy before it."""

    def __init__(self, *options, prefix="/", **more):
        self.server = Server(*options, **more)
        self.url = f"http://127.0.0.1:{self.server.port}/"
        if PAGE or prefix != "/":
            self.proxy, self.url = page_server.listen(Proxy, port=self.server.port, folder=PAGE, prefix=prefix)

    def __enter__(self): return self
    def __exit__(self, *_): self.server.stop()


def page_of(site):
    """Where servers that are played have the page from."""
    return {"folder": PAGE} if PAGE else {"files": page_server.files_of(site.url)}


def keys():
    file = tempfile.NamedTemporaryFile("w", delete=False)
    with file: file.write(f"admin: {ADMIN}\ncaller: {CALLER}\n")
    return file.name


def rows(page): return page.eval_on_selector_all(".rows .row:not([hidden])", "all => all.map((row) => [...row.children].map((cell) => cell.textContent))")


def row(page, name): return next(cells for cells in rows(page) if cells[0] == name)


def eventually(holds, what, seconds=15):
    end = time.time() + seconds
    while not (value := holds()):
        assert time.time() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return value


def give_key(page, key, *, is_taken=True):
    page.fill("#key", key)
    page.keyboard.press("Enter")
    if is_taken: page.wait_for_selector("#key-dialog", state="hidden")


def choose(page, field, name):
    page.fill(field, name)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


def axe(page):
    """Serious and critical violations."""
    page.evaluate(open(AXE).read())
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:120]} {v['nodes'][0]['failureSummary'][:200]}" for v in found if v["impact"] in ("serious", "critical")]
