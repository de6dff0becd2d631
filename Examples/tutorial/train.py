#!/usr/bin/env python3
"""Trains a LoRA adapter on conversations: Examples/tutorial/train.py BASE TRAIN.jsonl TEST.jsonl OUTPUT [STEPS]

BASE is a Hugging Face folder or a name on the Hub. The adapter learns the answers of TRAIN.jsonl; how many of TEST.jsonl are
right is printed before and after. Needs torch, transformers and peft.
"""
import json, os, random, sys, time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait leave the cores to others, such as a server
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

BATCH, LEARNING_RATE, SEED = 8, 4e-3, 1


def read(path):
    return [json.loads(line)["messages"] for line in open(path)]


def prompt(tokenizer, messages):
    """The tokens that a server makes of a request: everything but the answer."""
    text = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def answer(tokenizer, messages):
    return tokenizer(messages[-1]["content"], add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]


def padded(rows, filler):
    width = max(map(len, rows))
    return torch.tensor([[filler] * (width - len(row)) + row for row in rows])


def batch(rows):
    return dict(input_ids=padded(rows, 0), attention_mask=padded([[1] * len(row) for row in rows], 0))


@torch.no_grad()
def score(model, tokenizer, test):
    """How many answers, read as JSON, are equal to the ones in the file."""
    inputs, right = batch([prompt(tokenizer, messages) for messages in test]), 0
    output = model.generate(**inputs, max_new_tokens=48, do_sample=False, pad_token_id=0)
    for row, messages in zip(output[:, inputs["input_ids"].shape[1]:], test):
        try: right += json.loads(tokenizer.decode(row, skip_special_tokens=True)) == json.loads(messages[-1]["content"])
        except ValueError: pass
    return f"{right} of {len(test)} answers are right"


def train(model, tokenizer, conversations, steps):
    rng, start = random.Random(SEED), time.time()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 5) * (1 - step / steps))
    for step in range(steps):
        rows = [(prompt(tokenizer, m), answer(tokenizer, m)) for m in rng.sample(conversations, BATCH)]
        labels = padded([a for _, a in rows], -100)  # only the answers are learned, so only their logits are computed
        logits = model(**batch([p + a for p, a in rows]), logits_to_keep=labels.shape[1] + 1).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        loss.backward()
        optimizer.step(); schedule.step(); optimizer.zero_grad()
        if step % 5 == 4: print(f"step {step + 1} of {steps}: loss {loss.item():.3f}, {time.time() - start:.0f} s", flush=True)


def main():
    base, train_file, test_file, output = sys.argv[1:5]
    torch.manual_seed(SEED)
    tokenizer, test = AutoTokenizer.from_pretrained(base), read(test_file)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    print("before:", score(model, tokenizer, test), flush=True)
    layers = range(model.config.num_hidden_layers)  # the upper half is enough here, and takes a quarter less time
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, layers_to_transform=list(layers[len(layers) // 2:]),
                                             target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]))
    train(model, tokenizer, read(train_file), int(sys.argv[5]) if sys.argv[5:] else 100)
    print("after:", score(model, tokenizer, test))
    model.to(torch.bfloat16).save_pretrained(output)


if __name__ == "__main__":
    main()
