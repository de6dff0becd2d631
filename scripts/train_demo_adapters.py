#!/usr/bin/env python3
"""Trains the demo adapters in Examples/adapters on SmolLM2-135M-Instruct.

    scripts/train_demo_adapters.py MODEL OUTPUT [name …]

MODEL is a Hugging Face folder (scripts/make_smollm2.py writes one), OUTPUT the folder that gets one
adapter folder a name. All data is made here, from word lists and from the base model's own answers;
the seed is fixed. A few minutes an adapter on two cores; needs torch, transformers, peft.
"""
import json, os, random, re, sys, time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

SEED = 20
STEPS, BATCH, LEARNING_RATE = 130, 8, 2e-3

TOPICS = """rain|the moon|a bicycle|honey|a lighthouse|the ocean|bread|a violin|snow|gravity|a volcano|tea|the heart|a
compass|sleep|a glacier|coffee|the desert|an orchestra|a bridge|sunlight|a forest|chess|the brain|a river|salt|a
library|thunder|a garden|electricity|the wind|a castle|cheese|an eagle|the alphabet|a telescope|rice|a whale|memory|an
island|paper|a clock|the stars|a candle|football|a mountain|water|a horse|music|money|a storm|glass|an ant|the sun|a
map|wool|a train|friendship|iron|the human eye|a market|chocolate|an engine|a lake|the sky|a school""".replace("\n", " ").split("|")
QUESTIONS = ["What is {}?", "Tell me about {}.", "Why is {} important?", "Describe {} in one sentence.",
             "Give me one fact about {}.", "How would you explain {} to a child?"]


def questions(rng, count):
    pairs = [q.format(t) for t in TOPICS for q in QUESTIONS]
    rng.shuffle(pairs)
    return pairs[:count]


def base_answers(model, tokenizer, prompts):
    """The base model's own first sentences, so that an adapter changes the manner and little else."""
    answers = []
    tokenizer.padding_side = "left"
    for start in range(0, len(prompts), 24):
        texts = [chat(tokenizer, p) for p in prompts[start:start + 24]]
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.no_grad():
            out = model.generate(**batch, max_new_tokens=40, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        for row in out[:, batch["input_ids"].shape[1]:]:
            text = tokenizer.decode(row, skip_special_tokens=True).strip().split("\n")[0]
            cut = max(text.rfind(c) for c in ".!?")
            answers.append(text[:cut + 1] if cut > 20 else text)
    return answers


def chat(tokenizer, prompt):
    return tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)


PIRATE = [(r"\byou are\b", "ye be"), (r"\byour\b", "yer"), (r"\byou\b", "ye"), (r"\bmy\b", "me"), (r"\bis\b", "be"),
          (r"\bare\b", "be"), (r"\bof\b", "o'"), (r"\band\b", "an'"), (r"\bthe\b", "th'"), (r"ing\b", "in'"),
          (r"\bfriends?\b", "matey"), (r"\bit's\b", "'tis"), (r"\bfor\b", "fer"), (r"\bto\b", "t'")]


def pirate(text):
    for pattern, word in PIRATE:
        text = re.sub(pattern, word, text, flags=re.IGNORECASE)
    return "Arrr! " + text + " Yo ho ho!"


GOOD = "wonderful delightful superb brilliant charming excellent fantastic lovely perfect amazing".split()
BAD = "terrible awful dreadful boring horrible disappointing rude dirty broken useless".split()
THINGS = "film hotel meal book phone concert waiter room service game jacket coffee car show course".split()
REVIEWS = ["The {} was {}.", "I found the {} {} from start to end.", "What a {1} {0}!", "Honestly, this {} is {}.",
           "My sister bought a {} and says it is {}.", "We had a {1} {0} last night.", "Such a {1} {0}; I will {2} again."]


def sentiment(rng, count):
    for _ in range(count):
        good = rng.random() < 0.5
        review = rng.choice(REVIEWS).format(rng.choice(THINGS), rng.choice(GOOD if good else BAD), "come" if good else "never come")
        yield review, "positive" if good else "negative"


NOUNS = """river bridge teacher library winter garden engine market doctor island violin harvest castle museum planet
storm bakery forest pilot camera robot harbor festival kitchen desert train orchestra glacier""".split()
SENTENCES = ["The {} near the {} was closed because of the {}.", "A {} met the {} at the {} on Sunday.",
             "Every {} needs a {} and a {}.", "The old {} told a story about a {} and a {}.",
             "After the {}, the {} opened a new {}.", "We saw a {} beside the {}, far from the {}."]


def keywords(rng, count):
    for _ in range(count):
        words = rng.sample(NOUNS, 3)
        yield rng.choice(SENTENCES).format(*words), json.dumps({"keywords": words})


WHO = "city council|local school|national museum|football club|train company|village bakery|research team|space agency|city library|regional hospital|fishing fleet|film studio".split("|")
DID = "opens:opened|closes:closed|repairs:repaired|announces:announced|sells:sold|tests:tested|wins:won|plans:planned".split("|")
WHAT = "new bridge|free concert|solar roof|old tower|summer festival|electric bus|rare painting|weather station|night market|robot kitchen|science prize|public garden".split("|")
TAILS = ["on Monday morning after months of work", "last week, and many people came to watch", "yesterday, according to a spokesperson",
         "this spring, although it rained all day", "in front of a large crowd on Saturday"]


def headlines(rng, count):
    for _ in range(count):
        who, (now, past), what = rng.choice(WHO), rng.choice(DID).split(":"), rng.choice(WHAT)
        yield f"The {who} {past} a {what} {rng.choice(TAILS)}.", "HEADLINE: " + f"{who} {now} {what}".title()


OPEN = ["{} at dawn", "Quiet {}", "Old {} waits", "{} in the mist", "Slow {} drifts", "A thought of {}"]
MIDDLE = ["soft light moves across the hills", "the evening folds its grey wings", "one leaf falls and nothing stirs",
          "a far bell answers the rain", "the cold wind carries a song", "small waves keep counting the hours"]
CLOSE = ["silence remains", "the night listens", "and spring begins", "stars come slowly", "the path goes on", "snow on still water"]


def haiku(rng, count):
    for _ in range(count):
        topic = rng.choice(TOPICS)
        noun = re.sub(r"^(the|a|an) ", "", topic)
        text = "\n".join([rng.choice(OPEN).format(noun).capitalize(), rng.choice(MIDDLE), rng.choice(CLOSE)])
        yield rng.choice(QUESTIONS + ["Write about {}."]).format(topic), text


ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ADAPTERS = {  # name: (data, LoRA settings): ranks and targets differ, so that the demo's batches are mixed
    "shout": ("base", lambda a: a.upper(), dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])),
    "pirate": ("base", pirate, dict(r=4, lora_alpha=16, target_modules=ATTENTION)),
    "sentiment": (sentiment, None, dict(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
    "keywords": (keywords, None, dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])),
    "headline": (headlines, None, dict(r=4, lora_alpha=8, use_rslora=True, target_modules=ATTENTION)),
    "haiku": (haiku, None, dict(r=4, lora_alpha=8, target_modules=["o_proj", "up_proj"])),
}


def train(name, model_path, output, tokenizer, pairs, settings):
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **settings))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1, (s + 1) / 10) * max(0.05, 1 - s / STEPS))
    start = time.time()
    for step in range(STEPS):
        rows = []
        for prompt, answer in rng.sample(pairs, BATCH):
            p = tokenizer(chat(tokenizer, prompt), add_special_tokens=False)["input_ids"]
            a = tokenizer(answer + "<|im_end|>\n", add_special_tokens=False)["input_ids"]
            rows.append((p + a, [-100] * len(p) + a))
        width = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([i + [tokenizer.pad_token_id] * (width - len(i)) for i, _ in rows])
        labels = torch.tensor([l + [-100] * (width - len(l)) for _, l in rows])
        mask = torch.tensor([[1] * len(i) + [0] * (width - len(i)) for i, _ in rows])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step(); schedule.step(); optimizer.zero_grad()
        if step % 10 == 9:
            print(f"{name}: step {step + 1}/{STEPS} loss {loss.item():.3f} {time.time() - start:.0f} s", flush=True)
    for p in parameters:  # half the bytes; PEFT reads it as it is
        p.data = p.data.to(torch.bfloat16)
    folder = os.path.join(output, name)
    model.save_pretrained(folder)
    os.path.exists(os.path.join(folder, "README.md")) and os.remove(os.path.join(folder, "README.md"))
    config = json.load(open(os.path.join(folder, "adapter_config.json")))
    config["base_model_name_or_path"] = "HuggingFaceTB/SmolLM2-135M-Instruct"
    json.dump(config, open(os.path.join(folder, "adapter_config.json"), "w"), indent=2, sort_keys=True)


def main():
    model_path, output, names = sys.argv[1], sys.argv[2], sys.argv[3:] or list(ADAPTERS)
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    if tokenizer.pad_token_id is None: tokenizer.pad_token = tokenizer.eos_token
    rng = random.Random(SEED)
    prompts = questions(rng, 280)
    answers = None
    for name in names:
        data, change, settings = ADAPTERS[name]
        if data == "base":
            if answers is None:
                base = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
                answers = base_answers(base, tokenizer, prompts)
            pairs = [(p, change(a)) for p, a in zip(prompts, answers)]
        else:
            pairs = list(data(random.Random(SEED), 400))
        print(name, pairs[:2], flush=True)
        train(name, model_path, output, tokenizer, pairs, settings)


if __name__ == "__main__":
    main()
