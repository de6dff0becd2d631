"""Other APIs' wires: OpenAI's Responses and Anthropic's Messages, by their own clients."""
import json, os, tempfile

import anthropic

from api_server import *
from api_tools import TOOLS, adapters

FLAT = [{"type": "function", **tool["function"]} for tool in TOOLS]
COLD = {"temperature": 0}  # the newest client has no parameter for it
THEIRS = [{"name": t["function"]["name"], "input_schema": t["function"]["parameters"]} for t in TOOLS]


@check
def the_responses_api_answers_its_client(server):
    with tempfile.TemporaryDirectory() as folder, Server(*adapters(folder), adapters=False) as server:
        client = server.client()
        chat = client.chat.completions.create(model="plain", messages=[{"role": "system", "content": "Be brief."}, *user("Say hello.")], temperature=0, max_tokens=12)
        r = client.responses.create(model="plain", instructions="Be brief.", input="Say hello.", temperature=0, max_output_tokens=12)
        assert r.output_text == chat.choices[0].message.content and r.usage.output_tokens == chat.usage.completion_tokens, (r, chat)
        assert r.status == ("incomplete" if chat.choices[0].finish_reason == "length" else "completed")
        # A stream's events are those that the client knows, in their order, and come to the same.
        events = list(client.responses.create(model="plain", instructions="Be brief.", input=[{"role": "user", "content": [{"type": "input_text", "text": "Say hello."}]}],
                                              temperature=0, max_output_tokens=12, stream=True))
        assert [e.sequence_number for e in events] == list(range(len(events)))
        kinds = [e.type for e in events]
        assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"], kinds
        assert kinds[-4:-1] == ["response.output_text.done", "response.content_part.done", "response.output_item.done"] and kinds[-1] in ("response.completed", "response.incomplete")
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == r.output_text == events[-1].response.output_text
        # A call, sent back with its result.
        r = client.responses.create(model="hermes", input="What time is it?", tools=FLAT, tool_choice={"type": "function", "name": "get_time"}, temperature=0, max_output_tokens=200)
        call = next(item for item in r.output if item.type == "function_call")
        assert call.name == "get_time" and json.loads(call.arguments)["zone"] in ("UTC", "CET"), r
        with client.responses.stream(model="hermes", input="What time is it?", tools=FLAT, tool_choice={"type": "function", "name": "get_time"}, temperature=0, max_output_tokens=200) as stream:
            for _ in stream: pass
            final = stream.get_final_response()
        assert [(i.type, getattr(i, "arguments", "")) for i in final.output] == [(i.type, getattr(i, "arguments", "")) for i in r.output]
        r = client.responses.create(model="hermes", input=[*user("What time is it?"), call.model_dump(exclude_none=True), {"type": "function_call_output", "call_id": call.call_id, "output": "12:00"}],
                                    tools=FLAT, max_output_tokens=5)
        assert r.output[0].type == "message"
        r = client.responses.create(model="plain", input="A number.", text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "integer", "minimum": 3, "maximum": 5}}}, max_output_tokens=20)
        assert json.loads(r.output_text) in (3, 4, 5), r
        for more in ({"store": True}, {"previous_response_id": "resp_x"}, {"background": True}, {"truncation": "auto"}, {"tools": [{"type": "web_search"}]}, {"top_logprobs": 3}, {"nonsense": 1}):
            status, answer = server.post("/v1/responses", {"model": "plain", "input": "x", **more})
            assert status == 400 and answer["error"]["code"] == "unsupported_parameter", (more, answer)


@check
def the_messages_api_answers_its_client(server):
    with tempfile.TemporaryDirectory() as folder, Server(*adapters(folder), adapters=False) as server:
        client = anthropic.Anthropic(base_url=f"http://127.0.0.1:{server.port}", api_key="none", max_retries=0)
        chat = server.client().chat.completions.create(model="plain", messages=[{"role": "system", "content": "Be brief."}, *user("Say hello.")], temperature=0, max_tokens=12)
        ask = dict(model="plain", system="Be brief.", messages=user("Say hello."), extra_body=COLD, max_tokens=12)
        r = client.messages.create(**ask)
        assert r.content[0].text == chat.choices[0].message.content and r.usage.output_tokens == chat.usage.completion_tokens
        assert r.usage.input_tokens + r.usage.cache_read_input_tokens == chat.usage.prompt_tokens == client.messages.count_tokens(**{k: ask[k] for k in ("model", "system", "messages")}).input_tokens
        with client.messages.stream(**ask) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert text == r.content[0].text and final.stop_reason == r.stop_reason and final.usage.output_tokens == r.usage.output_tokens
        # Three turns with calls and their results, whole and streamed.
        tools = dict(model="hermes", tools=THEIRS, tool_choice={"type": "any", "disable_parallel_tool_use": True}, max_tokens=300, extra_body=COLD)
        messages = user("What time is it?")
        for turn in range(3):
            r = client.messages.create(messages=messages, **tools)
            if r.stop_reason == "max_tokens": break
            uses = [block for block in r.content if block.type == "tool_use"]
            assert r.stop_reason == "tool_use" and len(uses) == 1 and isinstance(uses[0].input, dict), r
            with client.messages.stream(messages=messages, **tools) as stream: final = stream.get_final_message()
            assert [(b.type, b.input) for b in final.content] == [(b.type, b.input) for b in r.content]
            messages = messages + [{"role": "assistant", "content": [block.model_dump() for block in r.content]},
                                   {"role": "user", "content": [{"type": "tool_result", "tool_use_id": uses[0].id, "content": [{"type": "text", "text": f"{turn} o'clock"}]}]}]
        r = client.messages.create(model="plain", messages=user("A, B, C"), max_tokens=30, stop_sequences=["e"], extra_body=COLD)
        assert r.stop_reason != "stop_sequence" or r.stop_sequence == "e"
        for more, error in (({"max_tokens": 0}, anthropic.BadRequestError), ({"model": "nobody"}, anthropic.NotFoundError), ({"messages": []}, anthropic.BadRequestError),
                            ({"extra_body": {"container": "x"}}, anthropic.BadRequestError)):
            try: client.messages.create(**{**ask, **more}); raise RuntimeError(more)
            except error as e: assert e.body["type"] == "error" and e.body["error"]["message"], e.body
