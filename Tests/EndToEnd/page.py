#!/usr/bin/env python3
"""Looks at the server's page with a real browser: Tests/EndToEnd/page.py MARTLET MODEL.gguf [check …]

Needs the packages `playwright` and `axe-playwright-python`, and Chromium (CHROMIUM says where, /usr/bin/chromium unless
said). With PAGE=FOLDER the page's files are taken from there, by a proxy before the server; with SHOTS=FOLDER pictures of
every section are left there."""
from playwright.sync_api import sync_playwright

import checks
from page_browser import *
import page_sections
import page_keys
import page_looks


def main():
    if SHOTS: os.makedirs(SHOTS, exist_ok=True)
    with sync_playwright() as play, Site() as site:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        checks.run(CHECKS, browser, site, ends=browser.close)


main()
