#!/usr/bin/env python3
"""Makes the goldens of Tests/TokenizationTests and Tests/ChatTemplatesTests.

    scripts/make_text_goldens.py tokenizers Tests/TokenizationTests/Goldens
    scripts/make_text_goldens.py templates Tests/ChatTemplatesTests/Goldens

tokenizers: a corpus of awkward strings, a small vocabulary of each supported kind trained on it, and
what the `tokenizers` package makes of every string. templates: what transformers renders from the
templates in Goldens/templates (those of the named models, as published by their authors) for every
conversation here. Needs tokenizers and transformers; the seed is fixed.
"""
import glob, json, os, random, sys

SEED = 11
SCRIPTS = ["The quick brown fox", "naïve café Ångström", "Straße ẞ ſpecial 'ſ I'ſ", "Привет, мир! Ёлка", "Γειά σου Κόσμε ς", "שלום עולם", "مرحبا بالعالم ١٢٣",
           "नमस्ते दुनिया १२३", "สวัสดีชาวโลก", "你好,世界!今天天气", "こんにちは世界カタカナ", "안녕하세요 세계", "ሰላም ልዑል", "Հայերեն", "ქართული", "தமிழ்", "తెలుగు", "ខ្មែរ", "བོད་སྐད་", "ᏣᎳᎩ",
           "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛", "ﬁ ﬂ ﬃ ½ ⅓ Ⅷ ² ³", "e\u0301 a\u0308\u0323 o\u0302\u0301", "Å vs \u212b vs A\u030a", "ṩ s\u0323\u0307 s\u0307\u0323", "\u1e9b\u0323", "각 \u1100\u1161\u11a8"]
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "1️⃣", "🧑🏿‍🚀", "☺︎", "\U0001fae8", "🤷‍♀️"]
CODE = ["def f(x):\n    return x**2\n", "if (a[0] != '\\0') { b->c++; }", "<div class=\"x\">&nbsp;</div>", "SELECT * FROM t WHERE id=42;", "x = 0x1F; y = 1e-9; z=.5", "#!/bin/sh\n\tls -la | grep 'x'",
        "fn main() {\n\tprintln!(\"{}\", 1_000);\n}", "\\frac{1}{2}", "{\"a\": [1, 2.50, null]}", "a=b;c==d;e===f", "https://example.org/a?b=c&d=%20#e", "user@example.com", "C:\\dir\\file.txt"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", " \n ", "\u00a0", "\u2003", "\u3000", "\u200b", "\u2028", "\u0085", "\x0b", "\x0c", "     \n\n\t "]
CONTROL = ["\x00", "\x01", "\x07", "\x1b[0m", "\x7f", "\u200e", "\ufeff", "\ufffd", "\ufffe", "\U0010ffff", "\ue000", "\u00ad", "\u2060"]
CONTRACTIONS = ["I'm", "you're", "he'S", "WE'LL", "they'd", "it's", "I'Ve", "don't", "'tis", "'", "''", "'s", " 's", "a'b", "O'Reilly's", "’s"]
NUMBERS = ["1", "12", "123", "1234", "12345678", "3.14159", "1,000,000", "-7", "+49 30 123", "٣٤٥", "１２３", "²³", "Ⅻ", "10:30", "2024-02-29", "v1.2.3-rc4"]
PUNCTUATION = ["...", "!!!", "?!", "--", "—", "«»", "„“", "()", "[]{}", "@#$%^&*", "~`", "。、", "¿¡", "•", "<|", "|>", "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", " <|im_end|> ", "<|im_end", "<0x0A>", "▁", "▁a", "Ġ"]


def corpus(rng):
    texts = [""] + SCRIPTS + EMOJI + CODE + SPACES + CONTROL + CONTRACTIONS + NUMBERS + PUNCTUATION
    texts += [a + b for a in SPACES for b in ("a", "1", ".", "é", "")] + ["a" + s + "b" for s in SPACES] + ["a" * n for n in (1, 2, 7, 64, 300)] + [" " * n for n in range(3, 20)]
    parts = SCRIPTS + EMOJI + CODE + SPACES * 3 + CONTROL + CONTRACTIONS + NUMBERS + PUNCTUATION
    while len(texts) < 1900:
        texts.append("".join(rng.choice(parts)[: rng.randrange(1, 14)] + rng.choice(["", "", " ", "\n"]) for _ in range(rng.randrange(2, 5))))
    while len(texts) < 2200:  # any characters at all
        texts.append("".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0x80, 0x2fff), rng.randrange(0x3000, 0xd7ff), rng.randrange(0x10000, 0x1f9ff)])) for _ in range(rng.randrange(1, 9))))
    return texts


def tokenizers(output):
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    os.makedirs(output, exist_ok=True)
    rng = random.Random(SEED)
    texts = corpus(rng)
    llama3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tail = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    o200k = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + tail + r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + tail + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    split = lambda pattern: pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated", invert=False), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    kinds = {
        "gpt2": (None, pre_tokenizers.ByteLevel(add_prefix_space=False)),
        "smollm": (None, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])),
        "llama3": (None, split(llama3)),
        "o200k": (None, split(o200k)),
        "qwen2": (normalizers.NFC(), split(llama3.replace(r"\p{N}{1,3}", r"\p{N}"))),
    }
    made = {}
    for name, (normalizer, pre) in kinds.items():
        t = Tokenizer(models.BPE(ignore_merges=name == "llama3"))
        if normalizer: t.normalizer = normalizer
        t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
        t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=900, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
        t.add_tokens([AddedToken("<plain>", normalized=True), AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False), AddedToken("word", single_word=True, normalized=False)])
        if name == "llama3": t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])])
        made[name] = t
    # SentencePiece style: a trained vocabulary with its bytes added, as Llama 2 (legacy) and Mistral v0.3 have it.
    base = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    base.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    base.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=900, limit_alphabet=150, special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)], show_progress=False))
    for name in ("llama2", "mistral", "gemma"):
        t = json.loads(base.to_str())
        t["added_tokens"] = [a for a in t["added_tokens"] if not a["content"].startswith("<0x")]
        t["decoder"] = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
        t["post_processor"] = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
        if name == "mistral":
            t["normalizer"] = None
            t["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
        if name == "gemma":
            # Nothing is left of what it would split at.
            t["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
            t["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
            t["decoder"]["decoders"].pop()
        made[name] = Tokenizer.from_str(json.dumps(t))
    more = ["a <plain> b", "x  <left>  y", "x  <right>  y", "word sword word. words word", "<left><right> <plain>", "\n<right>\n\nx", "<|im_start|>user\nHi<|im_end|>\n", "e\u0301<plain>e\u0301"]
    texts += more
    json.dump(texts, open(f"{output}/corpus.json", "w"), ensure_ascii=True, separators=(",", ":"))
    for name, t in made.items():
        open(f"{output}/{name}.tokenizer.json", "w").write(t.to_str())
        count = t.get_vocab_size()
        # Sequences that no text encodes to: broken characters, bytes out of place.
        sequences = [[rng.randrange(count) for _ in range(rng.randrange(1, 12))] for _ in range(400)]
        byte_ids = [i for token, i in t.get_vocab().items() if len(token) == 1 or token.startswith("<0x")]
        sequences += [[rng.choice(byte_ids) for _ in range(rng.randrange(1, 8))] for _ in range(200)]
        json.dump({
            "ids": [t.encode(x).ids for x in texts],
            "plain": [t.encode(x, add_special_tokens=False).ids for x in texts[:50]],
            "sequences": sequences,
            "decoded": [t.decode(s) for s in sequences],
            "decodedSpecial": [t.decode(s, skip_special_tokens=False) for s in sequences],
            "roundTrips": [t.decode(t.encode(x).ids) for x in texts],
        }, open(f"{output}/{name}.expected.json", "w"), ensure_ascii=True, separators=(",", ":"))
        print(name, count, "tokens")


TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Get the weather \"now\" <in> a city's área.", "parameters": {"type": "object", "properties": {
    "city": {"type": "string", "description": "The city"}, "days": {"type": "integer", "minimum": 1.5, "enum": [1, 2, 3]}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "stop", "description": "", "parameters": {"type": "object", "properties": {}}}}]
CALL = {"id": "call12345", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 2}}}
USER, ANSWER = {"role": "user", "content": "Hello,  there! <b>\n"}, {"role": "assistant", "content": "Hi. \"How\" can I help?\n"}
CONVERSATIONS = {
    "user": [USER],
    "system": [{"role": "system", "content": "Be brief.\n\n  "}, USER],
    "multi-turn": [USER, ANSWER, {"role": "user", "content": "日本語 👍"}],
    "system-multi-turn": [{"role": "system", "content": "S"}, USER, ANSWER, {"role": "user", "content": ""}, ANSWER, USER],
    "ends-with-assistant": [USER, ANSWER],
    "assistant-first": [ANSWER, USER],
    "two-users": [USER, USER],
    "system-late": [USER, {"role": "system", "content": "late"}],
    "thinking": [USER, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes."}, USER],
    "tool-call": [USER, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "call12345", "name": "get_weather", "content": "{\"c\": 21}"}, {"role": "user", "content": "Thanks"}],
    "tool-result-last": [{"role": "system", "content": "S"}, USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "call12345", "name": "get_weather", "content": "sunny"}],
    "only-system": [{"role": "system", "content": "Alone."}],
    "unknown-role": [{"role": "narrator", "content": "Once"}],
}


def templates(output):
    from transformers.utils.chat_template_utils import _compile_jinja_template
    cases = []
    for path in sorted(glob.glob(f"{output}/templates/*.jinja")):
        source = open(path, newline="").read()
        compiled = _compile_jinja_template(source)
        for name, messages in CONVERSATIONS.items():
            for tools in (None, TOOLS):
                for generation in (False, True):
                    variables = dict(messages=messages, tools=tools, documents=None, add_generation_prompt=generation, bos_token="<s>", eos_token="</s>", date_string="26 Jul 2024", enable_thinking=name != "thinking")
                    case = dict(template=os.path.basename(path), conversation=name, tools=tools is not None, generation=generation)
                    try: case["text"] = compiled.render(**variables)
                    except Exception as error: case["error"] = type(error).__name__
                    cases.append(case)
    # Each text once: many cases render alike.
    json.dump(dict(conversations=CONVERSATIONS, tools=TOOLS, cases=cases), open(f"{output}/cases.json", "w"), ensure_ascii=False, separators=(",", ":"))
    print(len(cases), "cases,", sum("error" in c for c in cases), "of them errors")


{"tokenizers": tokenizers, "templates": templates}[sys.argv[1]](sys.argv[2])
