"""The examples of the documentation, run as they are written."""
import io, contextlib

from api_server import *
from api_tools import adapters

PAGES = ["docs/structured.md", "docs/tools.md", "docs/adapters.md", "docs/migrating.md"]
# What the pages call adapters and the base, and who is there.
PLACES = {"MODEL": "hermes", "BASE": "base", "ADAPTER": "pirate", '"legal"': '"pirate"', '"short"': '"haiku"'}


def examples(page, language):
    for block in re.findall(r"^```(\w*)\n(.*?)^```", open(os.path.join(ROOT, page)).read(), re.M | re.S):
        starts = "curl" if language == "sh" else "from"
        if block[0] in ("", language) and block[1].startswith(starts): yield block[1]


def filled(text, port):
    for name, place in PLACES.items(): text = text.replace(name, place)
    return text.replace("localhost:8080", f"127.0.0.1:{port}").replace("=8080", f"={port}")


@check
def examples_of_the_documentation_work(_):
    with tempfile.TemporaryDirectory() as folder, Server("--context-length", "512", *adapters(folder)) as server:
        count = 0
        for page in PAGES:
            for example in examples(page, "sh"):
                script = filled(example, server.port).replace("curl ", "curl --silent --show-error --fail-with-body --max-time 120 ")
                # A block may have several calls, each with a body of several lines.
                told = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True)
                assert told.returncode == 0, (page, example, told.stdout, told.stderr)
                count += example.count("curl ")
        assert count >= 13, count


@check
def takeoffs_own_client_works(_):
    with Server("--context-length", "512") as server:
        for example in examples("docs/migrating.md", "python"):
            said = io.StringIO()
            names = {}
            with contextlib.redirect_stdout(said): exec(filled(example, server.port), names)
            assert said.getvalue().strip(), "the stream said nothing"
            client = names["client"]
            answer = client.generate("List three birds.", lora_id="pirate", max_new_tokens=8)
            assert isinstance(answer["text"], str) and answer["text"]
            many = client.generate(["One.", "Two."], max_new_tokens=4)["text"]
            assert len(many) == 2 and all(isinstance(text, str) for text in many)
            form = client.generate("A colour:", regex_string="(red|blue)", max_new_tokens=8)["text"]
            assert form in ("red", "blue"), form
            assert client.tokenize("text", "primary")
            try: client.generate("x", lora_id="nobody")
            except Exception as error: assert "404" in str(error) or "nobody" in str(error), error
            else: raise AssertionError("an unknown adapter answered")
