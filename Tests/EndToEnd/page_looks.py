"""Checks of the page: names that are hostile, screens that are narrow, keyboards, screen readers, and thousands of adapters."""
from page_browser import *


@check
def hostile_names_are_text(browser, site):
    many = Many(60, rate=20)
    server, url = page_server.listen(Fake, many=many, **page_of(site))
    try:
        with Tab(browser, url) as tab:
            page = tab.open(ready=".rows .row")
            eventually(lambda: len(rows(page)) > 5, "they are listed")
            for name in page_server.HOSTILE:
                page.fill("#search", name[:30])
                eventually(lambda: [cells[0] for cells in rows(page)] == [name], f"{name} is the only row")
                page.locator(".rows .row").first.click()
                eventually(lambda: page.inner_text("#entry-name").strip() == name.strip(), f"{name} is shown")
            page.click("#entry-ask")
            eventually(lambda: page.locator(".chosen li").count() == 2, "it is to be asked")
            page.goto(url + "#now")
            page.wait_for_timeout(2500)
            assert page.evaluate("document.querySelectorAll('main img, main script, main svg, main iframe').length") == 0
            tab.shoot("now-many")
    finally: many.is_over = True; server.shutdown()


@check
def narrow_screens(browser, site):
    for section in SECTIONS:
        with Tab(browser, site.url, width=360, scheme="light") as tab:
            page = tab.open(section)
            page.wait_for_timeout(1200)
            if section == "manage": choose(page, "#manage-name", "pirate"); page.wait_for_selector("#manage-entry:visible")
            if section == "adapters": page.locator(".rows .row").first.click()
            page.wait_for_timeout(300)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 360, (section, wide)
            tab.shoot(f"narrow-{section}")


@check
def the_keyboard_reaches_everything(browser, site):
    for section in SECTIONS:
        with Tab(browser, site.url) as tab:
            page = tab.open(section)
            page.wait_for_timeout(1500)
            if section == "manage": choose(page, "#manage-name", "pirate"); page.wait_for_selector("#manage-entry:visible")
            for summary in page.locator(f"#{section} summary").all(): summary.click()
            page.evaluate("document.activeElement.blur(); window.all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex=\"0\"]')].filter((node) => node.checkVisibility() && !node.disabled && node.tabIndex >= 0); window.met = new Set()")
            bare = []
            for _ in range(page.evaluate("all.length") + 12):
                page.keyboard.press("Tab")
                if (found := page.evaluate("""() => { const node = document.activeElement; met.add(node); if (node === document.body) return null;
                    const style = getComputedStyle(node); return style.outlineStyle === 'none' ? node.outerHTML.slice(0, 100) : null; }""")): bare.append(found)
            missed = page.evaluate("all.filter((node) => !met.has(node)).map((node) => node.outerHTML.slice(0, 100))")
            assert not missed and not bare, (section, missed, bare)
            if section == "adapters":
                page.locator(".rows .row[tabindex='0']").focus()
                page.keyboard.press("End"); page.keyboard.press("ArrowUp"); page.keyboard.press("Enter")
                assert page.inner_text("#entry-name") == NAMES[-2]
            print(f"        {section}: {page.evaluate('all.length')} reached")


@check
def axe_finds_nothing_serious(browser, site):
    for scheme in ("dark", "light"):
        for section in SECTIONS:
            with Tab(browser, site.url, scheme=scheme, refusals=["403"]) as tab:
                page = tab.open(section)
                page.wait_for_timeout(1500)
                if section == "adapters": page.locator(".rows .row").first.click()
                if section == "ask":
                    page.locator("#ask summary").first.click(); page.fill("#ask-text", "Hi"); page.fill("#ask-tokens", "8"); page.check("#ask-tint")
                    page.click("#ask-send"); page.wait_for_selector("#ask-send:visible", timeout=30000)
                    page.locator(".answer .text").first.focus()
                if section == "manage":
                    choose(page, "#manage-name", "pirate"); page.wait_for_selector("#manage-entry:visible"); page.click("[data-action=warm]")
                    eventually(lambda: page.locator("#manage-log li").count(), "something is logged")
                found = axe(page)
                assert not found, (scheme, section, found)
                tab.shoot(f"{scheme}-{section}")
                if section == "now":
                    page.click("#key-button"); found = axe(page)
                    assert not found, (scheme, "key", found)


@measurement
def an_open_page_costs_next_to_nothing(browser, site):
    def used():
        with open(f"/proc/{site.server.process.pid}/stat") as file: fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    def spent(seconds):
        start = used(); time.sleep(seconds)
        return (used() - start) / seconds / os.cpu_count()
    alone = spent(8)
    with Tab(browser, site.url) as tab:
        page = tab.open("now")
        page.wait_for_timeout(3000)
        watched = spent(16)
    print(f"        the server's share of its processors: {100 * alone:.2f} % alone, {100 * watched:.2f} % with the page")
    assert watched - alone < 0.01, (alone, watched)


@check
def five_thousand_adapters(browser, site):
    """Fifty events a second: no task that holds up the page, and no memory that grows. LONGEST is for machines with nothing else to do."""
    many = Many(5000)
    server, url = page_server.listen(Fake, many=many, **page_of(site))
    try:
        with Tab(browser, url) as tab:
            page = tab.open(ready=".rows .row")
            eventually(lambda: page.inner_text("#count") == "5,000 adapters", "all are listed", 30)
            page.wait_for_timeout(3000)
            protocol = tab.context.new_cdp_session(page)
            def heap():
                for _ in range(2): protocol.send("HeapProfiler.collectGarbage")
                return protocol.send("Runtime.getHeapUsage")["usedSize"]
            loading, before, sent, start = page.evaluate("seen.long.splice(0)"), heap(), many.sent, time.time()
            page.evaluate("seen.long.length = 0; window.frames_ = 0; (function count() { frames_ += 1; requestAnimationFrame(count); })()")
            heaps = []
            seconds = int(os.environ.get("SECONDS", 20))
            for second in range(seconds):
                if second == 4: page.click("text=Heat")
                if second == 8: page.click("text=Tier")
                if second == 12: page.fill("#search", "adapter-00")
                if second == 14: page.fill("#search", "")
                page.evaluate("document.querySelector('.rows').scrollBy(0, 900)")
                time.sleep(max(0, start + second + 1 - time.time()))
                if second in (seconds // 2 - 1, seconds - 1): heaps.append(heap())
            passed = time.time() - start
            long, frames = page.evaluate("seen.long"), page.evaluate("frames_")
            kib = [(size - before) // 1024 for size in heaps]
            print(f"        {(many.sent - sent) / passed:.0f} events a second, {frames / passed:.0f} frames a second, {len(long)} tasks above 50 ms, the longest {max(long, default=0):.0f} ms; while loading the longest {max(loading, default=0):.0f} ms; heap {before >> 20} MiB, then {kib} KiB more; {page.evaluate('document.querySelectorAll(`*`).length')} elements")
            assert (many.sent - sent) / passed > 40 and max(long, default=0) <= float(os.environ.get("LONGEST", 500)), long
            assert kib[1] < 4096, kib
            tab.shoot("adapters-many")
    finally: many.is_over = True; server.shutdown()
