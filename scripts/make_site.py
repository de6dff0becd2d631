#!/usr/bin/env python3
"""Writes README.md, docs and the repository's other pages as a site: scripts/make_site.py FOLDER

Plain HTML without a script, with links that work on a web server and in a folder. The list at the end of README.md is
the navigation. A link or an anchor that leads nowhere is an error, and so is a page that the navigation leaves out.
FOLDER/reference is where scripts/docs puts the library's reference. Needs markdown-it-py.
"""
import glob, html, os, posixpath, re, shutil, sys

from markdown_it import MarkdownIt

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REPOSITORY = "https://github.com/martlet/martlet/blob/main/"
DECISIONS = "docs/decisions"  # a folder in the repository, a list of its pages here
REFERENCE = ("Reference of the library", "reference/documentation/martlet/index.html")
TEMPLATE = open(os.path.join(ROOT, "docs/site/page.html")).read()
PARSER = MarkdownIt("commonmark").enable("table")
# What is wider than the page is scrolled by itself, and by the keyboard.
PARSER.add_render_rule("table_open", lambda *_: '<div class="wide" tabindex="0" role="group" aria-label="Table"><table>\n')
PARSER.add_render_rule("table_close", lambda *_: "</table></div>\n")
PARSER.add_render_rule("fence", lambda self, tokens, i, *_: f'<pre class="wide" tabindex="0"><code>{html.escape(tokens[i].content)}</code></pre>\n')


def read(path):
    with open(os.path.join(ROOT, path)) as file: return file.read()


def plain(inline):
    return "".join(t.content for t in inline.children if t.type in ("text", "code_inline"))


def slug(text):
    """GitHub's name for a heading."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


class Page:
    def __init__(self, path, text):
        self.path, self.target = path, re.sub(r"^docs/", "", path)[: -len(".md")].lower() + ".html"
        if path == "README.md": self.target = "index.html"
        if path == DECISIONS: self.target = "decisions/index.html"
        self.tokens, self.headings = PARSER.parse(text), []  # headings: level, name, text
        for i, (opening, inline) in enumerate(zip(self.tokens, self.tokens[1:])):
            if opening.type == "th_open" and not inline.content: opening.tag = "td"; self.tokens[i + 2].tag = "td"  # heads nothing
            if opening.type != "heading_open": continue
            name, taken = slug(plain(inline)), [n for _, n, _ in self.headings]
            if name in taken: name += f"-{sum(re.fullmatch(re.escape(name) + '(-[0-9]+)?', n) is not None for n in taken)}"
            opening.attrSet("id", name)
            self.headings.append((int(opening.tag[1]), name, plain(inline)))
        self.title = self.headings[0][2]

    def links(self):
        """Every token that leads somewhere, with the attribute that says where."""
        for token in self.tokens:
            for child in token.children or []:
                if child.type in ("link_open", "image"): yield child, "href" if child.type == "link_open" else "src"


class Site:
    def __init__(self):
        paths = [os.path.relpath(p, ROOT) for p in glob.glob(ROOT + "/*.md") + glob.glob(ROOT + "/docs/**/*.md", recursive=True)]
        pages = [Page(path, read(path)) for path in sorted(paths)]
        decisions = "".join(f"- [{p.title}]({posixpath.basename(p.path)})\n" for p in pages if p.path.startswith(DECISIONS))
        pages.append(Page(DECISIONS, "# Decisions\n\nWhy things are as they are.\n\n" + decisions))
        self.pages = {page.path: page for page in pages}
        self.pictures, self.wrong = set(), []
        self.groups = self.navigation()
        for page in pages:
            for token, attribute in page.links(): token.attrSet(attribute, self.resolved(page, token.attrGet(attribute)))

    def navigation(self):
        """The groups at the end of README.md: (name, pages)."""
        tokens = self.pages["README.md"].tokens
        start = next(i for i, t in enumerate(tokens) if t.type == "inline" and t.content == "Read on")
        groups = []
        for token in tokens[start + 1:]:
            if token.type != "inline": continue
            targets = [c.attrGet("href") for c in token.children if c.type == "link_open"]
            if name := re.match(r"\*\*(.+?)\*\*", token.content): groups.append((name[1], []))
            elif groups: groups[-1][1].extend(self.pages[t] for t in targets if t in self.pages)
        listed = {page.path for _, pages in groups for page in pages} | {"README.md"}
        for path in self.pages.keys() - listed:
            if not path.startswith(DECISIONS + "/"): self.wrong.append(f"{path} is not in README.md's list")
        return groups

    def resolved(self, page, link):
        if re.match(r"[a-z]+:", link): return link
        path, _, anchor = link.partition("#")
        folder = page.path if page.path == DECISIONS else posixpath.dirname(page.path)
        path = posixpath.normpath(posixpath.join(folder, path)) if path else page.path
        if (other := self.pages.get(path)) is not None:
            if anchor and anchor not in (name for _, name, _ in other.headings): self.wrong.append(f"{page.path}: {link} names no heading")
            return relative(page, other.target) + ("#" + anchor if anchor else "")
        if not os.path.exists(os.path.join(ROOT, path)) or path.startswith(".."): self.wrong.append(f"{page.path}: {link} leads nowhere")
        if not path.startswith("docs/pictures/"): return REPOSITORY + path
        self.pictures.add(path)
        return relative(page, path[len("docs/"):])

    def menu(self, page):
        lines = []
        for name, pages in self.groups:
            items = "".join(self.item(page, other) for other in pages)
            if any(other.path == "docs/library.md" for other in pages):
                items += f'<li><a href="{relative(page, REFERENCE[1])}">{REFERENCE[0]}</a></li>'
            lines.append(f"<h2>{html.escape(name)}</h2><ul>{items}</ul>")
        return "\n".join(lines)

    def item(self, page, other):
        here = page is other or other.path == DECISIONS and page.path.startswith(DECISIONS)
        parts = "".join(f'<li><a href="#{n}">{html.escape(t)}</a></li>' for level, n, t in page.headings if level == 2) if page is other else ""
        return (f'<li><a href="{relative(page, other.target)}"{" aria-current=page" if here else ""}>{html.escape(other.title)}</a>'
                + (f"<ul>{parts}</ul>" if parts else "") + "</li>")

    def write(self, out):
        for page in self.pages.values():
            values = {"title": html.escape(page.title), "home": relative(page, "index.html"), "style": relative(page, "site.css"),
                      "menu": self.menu(page), "text": PARSER.renderer.render(page.tokens, PARSER.options, {})}
            text = re.sub(r"\{\{(\w+)\}\}", lambda m: values[m[1]], TEMPLATE)
            if re.search(r'(src|<link[^>]*href)="?[a-z]+://', text): self.wrong.append(f"{page.path} asks somebody else for something")
            file = os.path.join(out, page.target)
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "w") as f: f.write(text)
        for picture in self.pictures:
            os.makedirs(os.path.join(out, "pictures"), exist_ok=True)
            shutil.copy(os.path.join(ROOT, picture), os.path.join(out, "pictures"))
        colours = re.match(r".*?(?=^\* )", read("Sources/Page/page.css"), re.S | re.M)[0]  # those of the server's own page
        with open(os.path.join(out, "site.css"), "w") as f: f.write(colours + read("docs/site/site.css"))
        if not os.path.exists(os.path.join(out, REFERENCE[1])): self.wrong.append(f"{REFERENCE[1]} is not there: scripts/docs makes it")


def relative(page, target):
    return posixpath.relpath(target, posixpath.dirname(page.target) or ".")


def main():
    site = Site()
    site.write(sys.argv[1])
    for line in site.wrong: print(line, file=sys.stderr)
    print(f"{len(site.pages)} pages, {sum(len(list(p.links())) for p in site.pages.values())} links, {len(site.pictures)} pictures, {len(site.wrong)} wrong")
    sys.exit(bool(site.wrong))


if __name__ == "__main__":
    main()
