#!/usr/bin/env python3
"""A loop with tools: agent.py URL MODEL [QUESTION]

The model calls, this program runs what it calls and sends the results back, until the model answers. The first turn has to
be a call, so that a small model makes one. Needs the `openai` package.
"""
import datetime, json, sys

import openai

TOOLS = {
    "get_time": (lambda zone: datetime.datetime.now(datetime.timezone.utc).strftime("%H:%M UTC"),
                 {"type": "object", "properties": {"zone": {"enum": ["UTC"]}}, "required": ["zone"]}),
    "add": (lambda a, b: str(a + b),
            {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}),
}


def main(url, model, question="What time is it?"):
    client = openai.OpenAI(base_url=url, api_key="none")
    tools = [{"type": "function", "function": {"name": name, "parameters": schema}} for name, (_, schema) in TOOLS.items()]
    messages = [{"role": "user", "content": question}]
    for turn in range(4):
        message = client.chat.completions.create(
            model=model, messages=messages, tools=tools, tool_choice="auto" if turn else "required", parallel_tool_calls=False,
            temperature=0, max_tokens=150).choices[0].message
        messages.append(message)
        if not message.tool_calls: break
        for call in message.tool_calls:
            run, _ = TOOLS[call.function.name]
            result = run(**json.loads(call.function.arguments))
            print(f"{call.function.name}({call.function.arguments}) = {result}")
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    print(message.content or "(no answer)")


if len(sys.argv) < 3: sys.exit(__doc__)
main(*sys.argv[1:])
