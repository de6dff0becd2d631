"""Each adapter's own template: how it writes conversations, thinks, and calls tools."""
import json, os, shutil, tempfile

import jinja2

from api_server import *

TEMPLATES = os.path.join(ROOT, "Tests/ChatTemplatesTests/Goldens/templates")
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 12}, "unit": {"enum": ["C", "F"]}}, "required": ["city", "unit"], "additionalProperties": False}}}
CLOCK = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {"zone": {"enum": ["UTC", "CET"]}}, "required": ["zone"], "additionalProperties": False}}}
TOOLS = [WEATHER, CLOCK]
OWN = {"hermes": "qwen2.5", "thinking": "qwen3", "llama": "llama-3.1", "mistral": "mistral-nemo"}


def adapters(folder):
    """One adapter with the templates of four families, and one with its own way to end."""
    options = []
    for name, template in [*OWN.items(), ("plain", None)]:
        target = os.path.join(folder, name)
        shutil.copytree(os.path.join(ADAPTERS, NAMES[0]), target)
        if template: shutil.copy(os.path.join(TEMPLATES, template + ".jinja"), os.path.join(target, "chat_template.jinja"))
        else: open(os.path.join(target, "generation_config.json"), "w").write('{"max_new_tokens": 5}')
        options += ["--adapter", f"{name}={target}"]
    return options


def holds(call):
    """Whether a call is one of the tools', with arguments that satisfy its schema."""
    arguments = json.loads(call.function.arguments)
    assert call.type == "function" and len(call.id) == 9 and call.id.isalnum()
    if call.function.name == "get_time": return arguments in ({"zone": "UTC"}, {"zone": "CET"})
    return call.function.name == "get_weather" and set(arguments) == {"city", "unit"} and arguments["unit"] in "CF" and len(arguments["city"]) <= 12


def streamed(client, **request):
    """The message that a stream's deltas come to."""
    message = {"content": "", "reasoning": "", "calls": []}
    finish = usage = None
    for chunk in client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **request):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            message["content"] += choice.delta.content or ""
            message["reasoning"] += getattr(choice.delta, "reasoning_content", None) or ""
            for call in choice.delta.tool_calls or []:
                assert call.type == "function" and call.function
                if call.index == len(message["calls"]): message["calls"].append([call.id, call.function.name, ""])
                message["calls"][call.index][2] += call.function.arguments or ""
    return message, finish, usage


def whole(r):
    message = r.choices[0].message
    return ({"content": message.content or "", "reasoning": getattr(message, "reasoning_content", None) or "",
             "calls": [[c.id, c.function.name, c.function.arguments] for c in message.tool_calls or []]}, r.choices[0].finish_reason, r.usage)


@check
def adapters_have_their_own_templates_and_call_tools(server):
    with tempfile.TemporaryDirectory() as folder, Server(*adapters(folder), adapters=False) as server:
        client = server.client()
        # Prompts are what jinja2 makes of the adapter's template.
        messages = [{"role": "system", "content": "Be brief."}, *user("Hi"), {"role": "assistant", "content": "Hello"}, *user("Weather in Rome?")]
        for name, template in OWN.items():
            environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
            environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
            environment.globals.update(raise_exception=lambda text: 1 / 0, strftime_now=lambda form: __import__("datetime").datetime.now().strftime(form))
            source = open(os.path.join(TEMPLATES, template + ".jinja")).read()
            special = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
            wanted = environment.from_string(source).render(messages=messages, tools=None, add_generation_prompt=True, **special)
            status, r = server.post("/v1/chat/completions/render", {"model": name, "messages": messages})
            assert status == 200 and r["prompt"] == wanted, (name, r, wanted)
        # Where a call is asked for, there is one, of the right form; a stream says the same.
        choices = ["required", {"type": "function", "function": {"name": "get_time"}},
                   {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]}}]

        def call(case):
            name, number = case
            request = dict(model=name, messages=user("What is the weather in Rome, and what time is it?"), tools=TOOLS, tool_choice=choices[number],
                           parallel_tool_calls=number == 2, temperature=1.0, seed=number, max_tokens=200)
            r = client.chat.completions.create(**request)
            got, finish, usage = whole(r)
            again, end, counted = streamed(client, **request)
            assert [c[1:] for c in again["calls"]] == [c[1:] for c in got["calls"]] and again["reasoning"] == got["reasoning"] and end == finish, (again, got)
            assert counted.completion_tokens == usage.completion_tokens
            if finish == "length": return 0
            assert got["calls"] and all(holds(call) for call in r.choices[0].message.tool_calls), (case, r)
            assert r.choices[0].message.content is None and finish == ("stop" if number == 1 else "tool_calls")
            if number < 2: assert len(got["calls"]) == 1
            if number > 0: assert {call[1] for call in got["calls"]} == {"get_time" if number == 1 else "get_weather"}
            return 1

        finished = sum(together(call, [(name, number) for name in OWN for number in range(3)]))
        assert finished >= 6, finished
        # A conversation goes on behind a call.
        history = user("Weather in Rome?") + [
            {"role": "assistant", "content": None, "tool_calls": [{"id": "abcdef123", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Rome\", \"unit\": \"C\"}"}}]},
            {"role": "tool", "tool_call_id": "abcdef123", "content": "21"}]
        for name in OWN:
            status, r = server.post("/v1/chat/completions/render", {"model": name, "messages": history, "tools": TOOLS})
            assert status == 200 and "Rome" in r["prompt"] and "21" in r["prompt"], (name, r)
        # Strict tools hold calls that the model makes of its own will; free answers stay free.
        strict = [{"type": "function", "function": {**WEATHER["function"], "strict": True}}]
        got, finish, _ = whole(client.chat.completions.create(model="hermes", messages=user("Say hello."), tools=strict, temperature=0, max_tokens=40))
        free, _, _ = whole(client.chat.completions.create(model="hermes", messages=user("Say hello."), tools=[WEATHER], temperature=0, max_tokens=40))
        assert got["content"] == free["content"] != ""
        # A form behind thoughts, and thoughts counted.
        r = client.chat.completions.create(model="thinking", messages=user("One word."), response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"const": {"a": 1}}}},
                                           temperature=1.5, seed=3, max_tokens=400)
        if r.choices[0].finish_reason == "stop": assert json.loads(r.choices[0].message.content) == {"a": 1}, r
        assert r.usage.completion_tokens_details.reasoning_tokens >= 0
        # What is not said is as the adapter has it.
        assert client.chat.completions.create(model="plain", messages=user("Count to a hundred."), extra_body={"ignore_eos": True}).usage.completion_tokens == 5
        for body, code in [({"tool_choice": "required"}, "invalid_value"), ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "unsupported_parameter"),
                           ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "other"}}}, "invalid_value"),
                           ({"tools": [WEATHER, WEATHER]}, "invalid_value"), ({"tools": TOOLS, "tool_choice": "required", "guided_choice": ["a"]}, "invalid_value")]:
            status, r = server.post("/v1/chat/completions", {"model": "hermes", "messages": user("x"), **body})
            assert status == 400 and r["error"]["code"] == code, (body, r)
        # A template without a place for tools refuses them, as before.
        assert server.post("/v1/chat/completions", {"model": "plain", "messages": user("x"), "tools": TOOLS})[0] == 400


@check
def what_the_page_on_tools_and_the_examples_show_works(server):
    page = open(os.path.join(ROOT, "docs/tools.md")).read()
    bodies = re.findall(r"^curl \S+8080(\S+) .*? -d '(.*?)'$", page, re.M | re.S)
    assert len(bodies) >= 5, len(bodies)
    with tempfile.TemporaryDirectory() as folder, Server(*adapters(folder), adapters=False) as server:
        for path, text in bodies:
            status, r = server.post(path, {**json.loads(text), "model": "hermes", **({} if "parse" in path or "count" in path or "responses" in path else {"max_tokens": 150})})
            assert status == 200, (text, r)
            if "parse" in path: assert r["message"]["content"] == "I will look." and r["message"]["tool_calls"][0]["function"]["name"] == "f", r
        url = f"http://127.0.0.1:{server.port}/v1"
        run = lambda name, *rest: subprocess.run([sys.executable, os.path.join(ROOT, "Examples/clients", name), url, *rest], capture_output=True, text=True, timeout=120)
        extracted = run("extract.py", "hermes", "plain")
        assert extracted.returncode == 0 and extracted.stdout.count("{'") == 4, extracted
        agent = run("agent.py", "hermes")
        assert agent.returncode == 0 and re.match(r"(get_time|add)\(", agent.stdout), agent
