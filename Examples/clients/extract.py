#!/usr/bin/env python3
"""Takes facts out of texts, each kind by its own adapter and in its own form: extract.py URL ADAPTER ADAPTER

One server answers both kinds in one batch. Needs the `openai` package.
"""
import concurrent.futures, json, sys

import openai

PERSON = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 30}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
          "required": ["name", "age"], "additionalProperties": False}
MOOD = {"type": "object", "properties": {"mood": {"enum": ["good", "bad", "mixed"]}, "stars": {"type": "integer", "minimum": 1, "maximum": 5}},
        "required": ["mood", "stars"], "additionalProperties": False}
TEXTS = [("person", "Anna is 31 and lives in Rome."), ("mood", "The food was cold, but the staff was lovely."),
         ("person", "My uncle Bob has just turned 70."), ("mood", "Best pizza in town!")]


def main(url, *adapters):
    client = openai.OpenAI(base_url=url, api_key="none")
    kinds = {"person": (adapters[0], PERSON), "mood": (adapters[-1], MOOD)}

    def extract(kind, text):
        adapter, schema = kinds[kind]
        answer = client.chat.completions.create(
            model=adapter, temperature=0, max_tokens=200, messages=[{"role": "user", "content": f"{text}\nAs JSON:"}],
            response_format={"type": "json_schema", "json_schema": {"name": kind, "strict": True, "schema": schema}})
        return json.loads(answer.choices[0].message.content)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for (kind, text), facts in zip(TEXTS, pool.map(lambda item: extract(*item), TEXTS)):
            print(f"{kind:8}{text}\n        {facts}")


if len(sys.argv) < 3: sys.exit(__doc__)
main(*sys.argv[1:])
