"""Answers that must be something: schemas, choices, patterns, as clients ask for them."""
import json, os, re
import openai, pydantic

from api_server import *

SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 120},
                                           "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 3}},
          "required": ["name", "age", "tags"], "additionalProperties": False}


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=20)
    age: int = pydantic.Field(ge=0, le=120)
    tags: list[str] = pydantic.Field(max_length=3)


def named(schema): return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


@check
def answers_satisfy_their_schema_alone_and_crowded(server):
    """Four names and the base, two schemas and none, hot: all conform, and each is what it is alone."""
    def ask(i):
        form = [{"response_format": named(SCHEMA)}, {"guided_choice": ["yes", "no", "it depends"]}, {}][i % 3]
        body = {"model": (["base"] + NAMES)[i % 5], "messages": user(f"Tell me about person {i}."), "max_tokens": 160, "temperature": 1.5, "seed": i, **form}
        status, r = server.post("/v1/chat/completions", body)
        assert status == 200, r
        return r["choices"][0]
    crowd = together(ask, range(15))
    assert [ask(i) for i in range(6)] == crowd[:6]
    finished = 0
    for i, choice in enumerate(crowd):
        text = choice["message"]["content"]
        if i % 3 == 1: assert text in ("yes", "no", "it depends") and choice["finish_reason"] == "stop"
        if i % 3 == 0 and choice["finish_reason"] == "stop":
            person = Person.model_validate_json(text)
            assert set(person.tags) <= {"red", "green", "blue"}
            finished += 1
    assert finished > 2


@check
def the_openai_client_parses_its_models(server):
    client = server.client()
    r = client.chat.completions.parse(model="base", messages=user("Anna is 31 and likes red."), response_format=Person, temperature=0, max_tokens=160)
    assert isinstance(r.choices[0].message.parsed, Person), r
    with client.chat.completions.stream(model="base", messages=user("Anna is 31 and likes red."), response_format=Person, temperature=0, max_tokens=160) as stream:
        for _ in stream: pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content == r.choices[0].message.content
    r = client.completions.create(model="base", prompt="The code is", max_tokens=20, extra_body={"structured_outputs": {"regex": "[0-9]{3}-[A-F]{2}"}})
    assert re.fullmatch("[0-9]{3}-[A-F]{2}", r.choices[0].text) and r.choices[0].finish_reason == "stop"
    # What conforms anyway is the same to the byte.
    free = client.completions.create(model="base", prompt="One, two,", max_tokens=12, temperature=0).choices[0].text
    held = client.completions.create(model="base", prompt="One, two,", max_tokens=12, temperature=0, extra_body={"guided_regex": "(.|\\n)*"}).choices[0].text
    assert free == held
    try: client.chat.completions.create(model="base", messages=user("x"), response_format=named({"type": "array", "uniqueItems": True})); raise AssertionError("no error")
    except openai.BadRequestError as e: assert e.code == "unsupported_grammar" and "uniqueItems" in e.message, e


@check
def what_the_page_on_forms_shows_works(server):
    page = open(os.path.join(ROOT, "docs/structured.md")).read()
    bodies = re.findall(r"^curl \S+/v1(\S+) .*? -d '(.*?)'$", page, re.M | re.S)
    assert len(bodies) >= 4, len(bodies)
    for path, text in bodies:
        status, r = server.post("/v1" + path, {**json.loads(text), "model": "base"})
        assert status == 200, (text, r)
