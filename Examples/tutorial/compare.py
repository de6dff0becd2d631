#!/usr/bin/env python3
"""Asks several models everything in a file of conversations: Examples/tutorial/compare.py TEST.jsonl MODEL … [--schema FILE]

All requests are sent at once, to MARTLET_URL or http://localhost:8080. For each model it prints how many answers are JSON, and how many
are the file's. With --schema every model is asked a second time, held to that schema.
"""
import argparse, json, os, time, urllib.request
from concurrent.futures import ThreadPoolExecutor

URL = os.environ.get("MARTLET_URL", "http://localhost:8080") + "/v1/chat/completions"


def ask(model, messages, schema):
    body = {"model": model, "messages": messages[:-1], "temperature": 0, "max_tokens": 60}
    if schema: body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    request = urllib.request.Request(URL, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as response: answer = json.load(response)
    return answer["choices"][0]["message"]["content"], answer["usage"]["completion_tokens"]


def parsed(text):
    try: return json.loads(text)
    except ValueError: return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("test")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--schema")
    options = parser.parse_args()
    test = [json.loads(line)["messages"] for line in open(options.test)]
    wanted = [json.loads(messages[-1]["content"]) for messages in test]
    schemas = [None] + ([json.load(open(options.schema))] if options.schema else [])
    rows = [(model, schema) for model in options.models for schema in schemas]
    start = time.perf_counter()
    with ThreadPoolExecutor(len(rows) * len(test)) as pool:
        answers = list(pool.map(lambda pair: ask(pair[0][0], pair[1], pair[0][1]), [(row, messages) for row in rows for messages in test]))
    seconds = time.perf_counter() - start
    print(f"{'model':<20}{'JSON':>6}{'right':>7}   of {len(test)}")
    for i, (model, schema) in enumerate(rows):
        values = [parsed(text) for text, _ in answers[i * len(test):(i + 1) * len(test)]]
        right = sum(value == ticket for value, ticket in zip(values, wanted))
        print(f"{model + (', schema' if schema else ''):<20}{sum(v is not None for v in values):>6}{right:>7}")
    print(f"{len(answers)} answers at once, {sum(tokens for _, tokens in answers) / seconds:.0f} tokens a second")


if __name__ == "__main__":
    main()
