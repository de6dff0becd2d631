#!/usr/bin/env python3
"""Makes the goldens of Tests/ModelFilesTests/Goldens/tools: a tiny base, and for it what each tool saves when it has
trained an adapter, with what the tool's own code or PEFT's computes with it in 32-bit floats.

    scripts/make_tool_adapters.py Tests/ModelFilesTests/Goldens/tools [TOOL …]

The base and the samples of the tools that are named are made anew, the others stay. Without names all are made whose
packages are here. Needs torch, transformers, peft, gguf (scripts/requirements-reference.txt) and, for each of these,
its package, in environments of their own where the versions that they ask for exclude each other:

    trl, mlx-lm with mlx[cpu], unsloth, torchtune, llamafactory, ms-swift

Axolotl, and Unsloth on a GPU, do not run here: their samples are PEFT's, edited to what their published code writes.
origin.json of a sample says which it is. What a program writes for itself and nobody else reads (optimizers, random states) is kept
by name only, and so is any value that tells the machine.

`cases.json` is that of Tests/ConformanceTests/Goldens, with more to a case:
    code     by which Martlet refuses it
    tokens   where not those of the suite
    resized  it has more tokens than the base, which has to have room for none of them
    rows     "scores": the row is a classification head's, of the last token that is not padding
`mixes.json` is empty.
"""
import importlib.metadata, json, os, random, shutil, sys, tempfile

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1", WANDB_DISABLED="true",
                  CUDA_VISIBLE_DEVICES="", TOKENIZERS_PARALLELISM="false", TRL_EXPERIMENTAL_SILENCE="1", HF_HUB_DISABLE_TELEMETRY="1")

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig, LlamaForCausalLM,
                          PreTrainedTokenizerFast, Trainer, TrainingArguments)

SEED, BASE, TIED = 11, "tiny-llama", "tiny-tied"
TOKENS = [1, 74, 71, 110, 5, 121, 66, 99]
ADDED = ["<|im_start|>", "<|im_end|>", "<|tool|>"]
MORE = TOKENS + [128, 129, 130]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
QV, EMBEDDING, HEAD = ["q_proj", "v_proj"], "base_model.model.model.embed_tokens.", "base_model.model.lm_head."
LETTERS = [chr(c) for c in range(33, 127)] + ["Ġ", "Ċ"]
PAIRS = "Ġt he in er Ġa an on re Ġs at en es or it is ou nd ar al Ġb Ġc te le ng st Ġo ed ve ha".split()
TEMPLATE = "{% for m in messages %}{{ m.role[0] }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}a: {% endif %}"
CHATML = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
#: Whose code was read, where it does not run here.
READ = {"axolotl": {"axolotl": "0.19.0"}}
#: Read by nothing but the program that wrote them.
UNREAD = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "adapter_model.pt", "0000002_adapters.safetensors")


# MARK: The base

def make_base(path, **more):
    torch.manual_seed(SEED)
    config = LlamaConfig(**dict(dict(vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                                     num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
                                     pad_token_id=0, rope_parameters=dict(rope_type="default", rope_theta=10000.0)), **more))
    model = LlamaForCausalLM(config)
    for p in model.parameters():
        with torch.no_grad(): p.copy_(torch.randn_like(p) * (0.1 if p.ndim == 1 else 0.15) + (p.ndim == 1))
    model.bfloat16().save_pretrained(path)
    # The tied one has rows to spare, as many models do.
    pairs = PAIRS[:-2] if config.tie_word_embeddings else PAIRS
    vocabulary = {t: i for i, t in enumerate(["<pad>", "<s>", "</s>"] + LETTERS + pairs)}
    words = Tokenizer(models.BPE(vocab=vocabulary, merges=[(p[0], p[1]) for p in pairs]))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=TEMPLATE).save_pretrained(path)
    json.dump({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}, open(f"{path}/generation_config.json", "w"))


def base(kind=AutoModelForCausalLM, of=BASE, **more):
    return kind.from_pretrained(of, dtype=torch.float32, **more)


def tokenizer(of=BASE, added=()):
    words = PreTrainedTokenizerFast.from_pretrained(of)
    if added: words.add_special_tokens({"additional_special_tokens": list(added)}); words.chat_template = CHATML
    return words


def resized(size=131, seed=SEED, of=BASE, kind=AutoModelForCausalLM, **settings):
    """The base with three more tokens, as tools make it."""
    model = base(kind, of=of, **settings)
    torch.manual_seed(seed)
    model.resize_token_embeddings(size, mean_resizing=False)
    return model


def of_resized(path, size=131, of=BASE):
    """What an adapter with more or fewer tokens than the base computes; it brings all that the base lacks."""
    tokens = MORE if size > 128 else TOKENS
    expected = logits(reloaded(path, resized(size, 1, of)), tokens)
    assert torch.equal(expected, logits(reloaded(path, resized(size, 2, of)), tokens))
    return dict(expected=expected, tokens=tokens)


# MARK: Adapters as if trained

def adapted(model, task="CAUSAL_LM", seed=SEED, **settings):
    torch.manual_seed(seed)
    model = get_peft_model(model, LoraConfig(task_type=task, **dict(dict(r=2, lora_alpha=4, target_modules=QV), **settings)))
    randomize(model)
    return model.eval()


def randomize(model):
    for name, p in model.named_parameters():
        with torch.no_grad():
            if "lora_" in name:
                if "magnitude" in name: p.mul_(1 + 0.3 * torch.rand_like(p))
                else: p.copy_(torch.randn_like(p) * 0.2)
            elif p.requires_grad: p.add_(torch.randn_like(p) * 0.1)


def texts(count=8):
    draw = random.Random(SEED)
    return ["".join(draw.choice("the rain in an old town ") for _ in range(24)) for _ in range(count)]


def arguments(path, kind=TrainingArguments, **more):
    return kind(**dict(dict(output_dir=path, max_steps=2, per_device_train_batch_size=2, learning_rate=0.05, save_steps=2,
                            report_to=[], use_cpu=True, bf16=False, disable_tqdm=True, logging_steps=1, seed=SEED), **more))


# MARK: What is expected

def logits(model, tokens=TOKENS):
    with torch.no_grad(): return model.eval()(torch.tensor([tokens])).logits[0].float().contiguous()


def reloaded(path, model=None):
    """As PEFT reads it."""
    return PeftModel.from_pretrained(base() if model is None else model, path)


class Suite:
    """One base and the adapters for it."""

    def __init__(self, output, family, of):
        self.output, self.family, self.folder = output, family, f"{output}/{family}"
        known = os.path.exists(f"{self.folder}/expected.safetensors")
        self.cases = self.summary()["families"].get(family, {})
        self.expected = load_file(f"{self.folder}/expected.safetensors") if known else {}
        shutil.copytree(of, f"{self.folder}/model", dirs_exist_ok=True); tidy(f"{self.folder}/model")
        self.expected["base"] = logits(base(of=of))

    def summary(self):
        path = f"{self.output}/cases.json"
        return json.load(open(path)) if os.path.exists(path) else {"tokens": TOKENS, "families": {}}

    def add(self, name, path=None, origin=None, expected=None, **case):
        """Keeps what is at `path` as the sample `name`: a folder or a file."""
        place = f"{self.folder}/{name}"
        if path:
            if os.path.isdir(place): shutil.rmtree(place)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            (shutil.copytree if os.path.isdir(path) else shutil.copyfile)(path, place)
            if os.path.isdir(place): tidy(place)
        if origin:
            tool, how = origin
            versions = {p: importlib.metadata.version(p) for p in ("peft", {"hf-trainer": "transformers"}.get(tool, tool)) if p != "axolotl"}
            text = {"tool": tool, "how": how, "versions": versions | READ.get(tool, {})}
            json.dump(text, open((place if os.path.isdir(place) else os.path.dirname(place)) + "/origin.json", "w"), indent=1)
        self.cases[name] = case
        if expected is not None: self.expected[name] = expected
        self.save()

    def save(self):
        os.makedirs(self.folder, exist_ok=True)
        save_file({k: v.contiguous() for k, v in sorted(self.expected.items())}, f"{self.folder}/expected.safetensors")
        summary = self.summary()
        summary["families"][self.family] = dict(sorted(self.cases.items()))
        json.dump(summary, open(f"{self.output}/cases.json", "w"), indent=1)
        json.dump({}, open(f"{self.output}/mixes.json", "w"))


def tidy(folder):
    here = os.getcwd()
    for place, folders, files in os.walk(folder):
        for drop in [f for f in folders if f in ("runs", "logs", "logging", "images")]: shutil.rmtree(f"{place}/{drop}"); folders.remove(drop)
        for name in files:
            path = f"{place}/{name}"
            if name in UNREAD: open(path, "w").write("left out: only the program that wrote it reads it\n")
            elif name.endswith((".json", ".jsonl", ".md", ".yaml", ".log")):
                text = open(path).read().replace(here + "/", "").replace(here, ".")
                # Cards are long, and all the same.
                if name == "README.md": text = text[:text.index("---", 3)] + "---\n"
                if name == "tokenizer.json": text = json.dumps(json.loads(text), ensure_ascii=False)
                if name == "args.json": text = json.dumps({k: v[:100] if isinstance(v, str) else v for k, v in json.loads(text).items()})
                if name == "adapter_config.json":
                    config = json.loads(text)
                    # PEFT writes them in the order of a set.
                    for field in ("target_modules", "modules_to_save"):
                        if isinstance(config.get(field), list): config[field].sort()
                    text = json.dumps(config, indent=2)
                open(path, "w").write(text)


def halve(path):
    save_file({k: v.bfloat16() for k, v in load_file(path).items()}, path, metadata={"format": "pt"})


def edit(path, **changes):
    config = json.load(open(f"{path}/adapter_config.json")) | changes
    json.dump(config, open(f"{path}/adapter_config.json", "w"), indent=2)


# MARK: PEFT itself, and transformers' Trainer

def peft(suite):
    def keep(name, model, words=None, **case):
        model.save_pretrained("out")
        if words: words.save_pretrained("out")
        suite.add(name, "out", ("peft", "saved by the tool"), **case)
        shutil.rmtree("out")

    # On resized bases the file itself brings the tables: PEFT sees that the vocabulary is not the base's.
    for name, settings in {
        "peft-resized": {},
        "peft-resized-tokens": dict(trainable_token_indices=[128, 129, 130]),
        "peft-resized-tokens-both": dict(trainable_token_indices={"embed_tokens": [128, 129, 130], "lm_head": [128, 129, 130]}),
        "peft-resized-targets": dict(target_modules=QV + ["embed_tokens", "lm_head"]),
        "peft-resized-dora": dict(target_modules=QV + ["embed_tokens", "lm_head"], use_dora=True),
        "peft-shrunk": {},
        "peft-shrunk-targets": dict(target_modules=QV + ["embed_tokens", "lm_head"]),
    }.items():
        size = 124 if "shrunk" in name else 131
        model, words = adapted(resized(size), **settings), tokenizer(added=ADDED if size > 128 else ())
        model.save_pretrained("out")
        expected = of_resized("out", size)
        assert (expected["expected"] - logits(model, expected["tokens"])).abs().max() < 1e-5
        # Models are mostly of 16 bits.
        halve("out/adapter_model.safetensors")
        words.save_pretrained("out")
        suite.add(name, "out", ("peft", "saved by the tool, rounded to bfloat16"), **of_resized("out", size))
        shutil.rmtree("out")
    # PEFT leaves out the embedding here, whose new rows are lost.
    adapted(resized(), target_modules=QV + ["lm_head"]).save_pretrained("out")
    halve("out/adapter_model.safetensors")
    suite.add("peft-resized-head", "out", ("peft", "saved by the tool, rounded to bfloat16"), code="wrong_shape")
    shutil.rmtree("out")
    adapted(base()).save_pretrained("out", safe_serialization=False)
    suite.add("peft-pickle", "out", ("peft", "saved by the tool"), code="pickle_refused")
    shutil.rmtree("out")
    # Heads: transformers takes the score of the last token that is not padding.
    for name, labels, kind in (("peft-scores-1", 1, "regression"), ("peft-scores-2", 2, "single_label_classification"),
                               ("peft-scores-3", 3, "multi_label_classification")):
        torch.manual_seed(SEED)
        model = base(AutoModelForSequenceClassification, num_labels=labels, problem_type=kind)
        model = adapted(model, "SEQ_CLS")
        padded = torch.tensor([TOKENS + [0, 0, 0]])
        with torch.no_grad(): scores = model(padded, attention_mask=(padded != 0).long()).logits.float()
        keep(name, model, tokenizer(), expected=scores, rows="scores", problem_type=kind)
    # With a token of padding that was added for the training.
    model = adapted(resized(kind=AutoModelForSequenceClassification, num_labels=2), "SEQ_CLS")
    with torch.no_grad(): scores = model(torch.tensor([MORE])).logits.float()
    keep("peft-resized-scores", model, tokenizer(added=ADDED), expected=scores, rows="scores", tokens=MORE)
    torch.manual_seed(SEED)
    from transformers import AutoModelForTokenClassification
    keep("peft-token-classes", adapted(base(AutoModelForTokenClassification, num_labels=2), "TOKEN_CLS"), code="unsupported_task")


def tied(suite):
    """The same on a base with one matrix for embedding and head, and tokens in rows that it has to spare."""
    for name, size, settings in (
        ("resized", 131, {}),
        ("resized-saved", 131, dict(modules_to_save=["embed_tokens", "lm_head"])),
        ("resized-saved-tied", 131, dict(modules_to_save=["embed_tokens"], ensure_weight_tying=True)),
        ("resized-tokens", 131, dict(trainable_token_indices=[126, 127, 128, 129, 130])),
        ("resized-targets", 131, dict(target_modules=QV + ["embed_tokens"])),
        ("shrunk", 126, {}),
        ("spare", 128, {}),
        ("spare-tokens", 128, dict(trainable_token_indices=[126, 127])),
    ):
        model = resized(size, of=TIED) if size != 128 else base(of=TIED)
        words = tokenizer(TIED, ADDED[:{126: 0, 128: 2, 131: 3}[size]])
        model = adapted(model, **settings)
        model.save_pretrained("out"); words.save_pretrained("out")
        halve("out/adapter_model.safetensors")
        expected = of_resized("out", size, TIED) if size != 128 else dict(expected=logits(reloaded("out", base(of=TIED)), TOKENS + [126, 127]), tokens=TOKENS + [126, 127])
        suite.add(name, "out", ("peft", "saved by the tool, rounded to bfloat16"), **expected)
        shutil.rmtree("out")


def hf_trainer(suite):
    words = tokenizer()
    rows = [dict(input_ids=(ids := words(t)["input_ids"][:16]), labels=ids) for t in texts()]
    torch.manual_seed(SEED)
    model = get_peft_model(base(), LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=4, target_modules=QV))
    trainer = Trainer(model, arguments("out"), train_dataset=rows, processing_class=words,
                      data_collator=lambda rows: {k: torch.tensor([r[k] for r in rows]) for k in rows[0]})
    trainer.train(); trainer.save_model()
    suite.add("hf-trainer", "out", ("hf-trainer", "saved by the tool"), logits(reloaded("out")))
    suite.add("hf-trainer/checkpoint-2", expected=logits(reloaded("out/checkpoint-2")))


def trl(suite):
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer, SFTConfig, SFTTrainer
    settings = LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=4, target_modules=QV)
    def run(name, trainer, **case):
        trainer.train(); trainer.save_model()
        shutil.rmtree("out/checkpoint-2")
        suite.add(name, "out", ("trl", "saved by the tool"), **case)
    torch.manual_seed(SEED)
    trainer = SFTTrainer(base(), arguments("out", SFTConfig, max_length=32), train_dataset=Dataset.from_dict({"text": texts()}),
                         processing_class=tokenizer(), peft_config=settings)
    run("trl-sft", trainer)
    suite.add("trl-sft", expected=logits(reloaded("out")))
    shutil.rmtree("out")
    # With a template of another tokenizer TRL adds that one's tokens, and more of its own up to a round number.
    tokenizer(added=ADDED).save_pretrained("chat")
    talks = [{"messages": [{"role": "user", "content": t}, {"role": "assistant", "content": t[::-1]}]} for t in texts()]
    torch.manual_seed(SEED)
    trainer = SFTTrainer(base(), arguments("out", SFTConfig, max_length=48, chat_template_path="chat"), train_dataset=Dataset.from_list(talks),
                         processing_class=tokenizer(), peft_config=settings)
    trainer.train(); trainer.save_model()
    shutil.rmtree("out/checkpoint-2")
    assert (of_resized("out", 192)["expected"] - logits(trainer.model, MORE)).abs().max() < 1e-5
    halve("out/adapter_model.safetensors")
    suite.add("trl-sft-chat", "out", ("trl", "saved by the tool, rounded to bfloat16"), **of_resized("out", 192))
    shutil.rmtree("out")
    pairs = [{"chosen": t, "rejected": t[::-1]} for t in texts()]
    torch.manual_seed(SEED)
    trainer = RewardTrainer(base(AutoModelForSequenceClassification, num_labels=1), arguments("out", RewardConfig, max_length=32),
                            train_dataset=Dataset.from_list(pairs), processing_class=tokenizer(),
                            peft_config=LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=4, target_modules=QV, modules_to_save=["score"]))
    run("trl-reward", trainer)
    torch.manual_seed(1)
    model = reloaded("out", base(AutoModelForSequenceClassification, num_labels=1)).eval()
    with torch.no_grad(): scores = model(torch.tensor([TOKENS])).logits.float()
    suite.add("trl-reward", expected=scores, rows="scores")
    shutil.rmtree("out")


# MARK: MLX

def mlx_tied(suite):
    """A change of the embedding is one of the head, where both are one."""
    keys = ["self_attn.v_proj", "model.embed_tokens"]
    mlx(suite, TIED, (("mlx-tables", dict(lora_parameters=dict(rank=2, scale=2.0, dropout=0.0, keys=keys)), None),))


def mlx(suite, of=BASE, cases=None):
    from types import SimpleNamespace
    import mlx.core as mx
    from mlx_lm import lora as command
    from mlx_lm.tuner.utils import load_adapters
    from mlx_lm.utils import load
    class Rows:
        def __init__(self): self.rows = [(tokenizer(of)(t)["input_ids"][:16], 0) for t in texts()]
        def __getitem__(self, i): return self.rows[i]
        def __len__(self): return len(self.rows)
        def process(self, row): return row
    for name, change, code in cases or (
        ("mlx", {}, None),
        ("mlx-dora", dict(fine_tune_type="dora"), None),
        ("mlx-keys", dict(lora_parameters=dict(rank=3, scale=2.0, dropout=0.1, keys=["self_attn.q_proj", "mlp.down_proj"]), num_layers=1), None),
        ("mlx-tables", dict(lora_parameters=dict(rank=2, scale=2.0, dropout=0.0, keys=["self_attn.v_proj", "model.embed_tokens", "lm_head"])), None),
        ("mlx-full", dict(fine_tune_type="full", num_layers=1), "unsupported_peft_type"),
    ):
        args = command.CONFIG_DEFAULTS | dict(model=of, train=True, data="data", fine_tune_type="lora", num_layers=-1 if name == "mlx" else 2, batch_size=2,
            iters=2, learning_rate=0.05, steps_per_report=1, steps_per_eval=1000, val_batches=0, save_every=2, adapter_path="out",
            lora_parameters=dict(rank=2, scale=2.0, dropout=0.0), seed=SEED) | change
        mx.random.seed(SEED); np.random.seed(SEED)
        model = float32(load(of)[0])
        # -1 is all layers.
        command.train_model(SimpleNamespace(**args), model, Rows(), Rows())
        again = float32(load(of)[0])
        load_adapters(again, "out"); again.eval()
        expected = torch.from_numpy(np.array(again(mx.array([TOKENS]))[0].astype(mx.float32)))
        how = "saved by the tool"
        if code:
            tensors = {k: v for k, v in load_file("out/adapters.safetensors").items() if v.dim() == 1}
            save_file(tensors, "out/adapters.safetensors"); how += ", without its matrices"
        suite.add(name, "out", ("mlx-lm", how), None if code else expected, **({"code": code} if code else {}))
        shutil.rmtree("out")


def float32(model):
    import mlx.core as mx
    model.set_dtype(mx.float32)
    return model


# MARK: Tools on PEFT

def unsloth(suite):
    import unsloth
    def keep(name, how):
        suite.add(name, "out", ("unsloth", how), logits(reloaded("out")))
        shutil.rmtree("out")
    model, words = unsloth.FastLanguageModel.from_pretrained(BASE, max_seq_length=64, load_in_4bit=False)
    model = unsloth.FastLanguageModel.get_peft_model(model, r=2, lora_alpha=4)
    randomize(model)
    model.save_pretrained("out"); words.save_pretrained("out")
    keep("unsloth", "saved by the tool, without a GPU")
    # On GPUs it notes itself, and bases of four bits; FastModel writes one pattern for the targets.
    from unsloth_zoo.peft_utils import get_peft_regex
    note = {"base_model_class": "LlamaForCausalLM", "parent_library": "transformers.models.llama.modeling_llama", "unsloth_fixed": True}
    for name, targets in (("unsloth-gpu", ALL), ("unsloth-pattern", get_peft_regex(base(), finetune_vision_layers=False))):
        model = adapted(base(), target_modules=targets)
        model.save_pretrained("out"); words.save_pretrained("out")
        edit("out", auto_mapping=note, base_model_name_or_path="unsloth/tiny-llama-unsloth-bnb-4bit")
        halve("out/adapter_model.safetensors")
        keep(name, "PEFT's, edited to the published code: fields of GPU runs")


def axolotl(suite):
    """Saves the base's configuration beside the adapter, and the tokenizer with what `special_tokens` and `tokens` say."""
    words = tokenizer()
    words.pad_token = "</s>"
    model = adapted(base(), target_modules=ALL)
    model.save_pretrained("out"); words.save_pretrained("out"); model.config.save_pretrained("out")
    suite.add("axolotl", "out", ("axolotl", "PEFT's, with the files of the published code"), logits(reloaded("out")))
    shutil.rmtree("out")
    model, words = adapted(resized(), modules_to_save=["embed_tokens", "lm_head"]), tokenizer(added=ADDED)
    model.save_pretrained("out"); words.save_pretrained("out"); model.config.save_pretrained("out")
    halve("out/adapter_model.safetensors")
    suite.add("axolotl-tokens", "out", ("axolotl", "PEFT's, with the files of the published code"), **of_resized("out"))
    shutil.rmtree("out")


def llamafactory(suite):
    os.environ["DISABLE_VERSION_CHECK"] = "1"
    stand_in("torchaudio")
    from llamafactory.train.tuner import run_exp
    os.makedirs("data", exist_ok=True)
    json.dump([{"instruction": t, "input": "", "output": t[::-1]} for t in texts()], open("data/sft.json", "w"))
    json.dump([{"instruction": t, "input": "", "chosen": t[::-1], "rejected": t} for t in texts()], open("data/pairs.json", "w"))
    json.dump({"sft": {"file_name": "sft.json"}, "pairs": {"file_name": "pairs.json", "ranking": True,
               "columns": {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"}}}, open("data/dataset_info.json", "w"))
    common = dict(do_train=True, model_name_or_path=BASE, finetuning_type="lora", lora_target="q_proj,v_proj", lora_rank=2, lora_alpha=4, template="default",
                  dataset_dir="data", output_dir="out", per_device_train_batch_size=2, max_steps=2, learning_rate=0.05, save_steps=2, logging_steps=1,
                  use_cpu=True, bf16=True, report_to="none", cutoff_len=48, preprocessing_num_workers=1, seed=SEED, plot_loss=False)
    run_exp(dict(common, stage="sft", dataset="sft"))
    shutil.rmtree("out/checkpoint-2")
    suite.add("llamafactory", "out", ("llamafactory", "saved by the tool"), logits(reloaded("out")))
    shutil.rmtree("out")
    # It rounds the vocabulary up to 64 more tokens, most of them without a name.
    run_exp(dict(common, stage="sft", dataset="sft", resize_vocab=True, add_special_tokens=",".join(ADDED)))
    shutil.rmtree("out/checkpoint-2")
    halve("out/adapter_model.safetensors")
    suite.add("llamafactory-tokens", "out", ("llamafactory", "saved by the tool, rounded to bfloat16"), **of_resized("out", 192))
    shutil.rmtree("out")
    # A value head beside an ordinary adapter: only its own reward step reads it.
    run_exp(dict(common, stage="rm", dataset="pairs"))
    shutil.rmtree("out/checkpoint-2")
    suite.add("llamafactory-reward", "out", ("llamafactory", "saved by the tool"), logits(reloaded("out")))
    shutil.rmtree("out")


def ms_swift(suite):
    from swift import SftArguments, sft_main
    with open("talks.jsonl", "w") as file:
        for t in texts(): file.write(json.dumps({"messages": [{"role": "user", "content": t}, {"role": "assistant", "content": t[::-1]}]}) + "\n")
    sft_main(SftArguments(model=BASE, model_type="llama", template="dummy", dataset=["talks.jsonl"], tuner_type="lora", lora_rank=2, lora_alpha=4,
                          target_modules=["all-linear"], torch_dtype="float32", max_steps=2, per_device_train_batch_size=2, learning_rate=0.05, save_steps=2,
                          output_dir="out", add_version=False, split_dataset_ratio=0, max_length=48, use_cpu=True, report_to=[], use_hf=True,
                          dataloader_num_workers=0, dataset_num_proc=1, create_checkpoint_symlink=False, seed=SEED))
    suite.add("ms-swift", "out/checkpoint-2", ("ms-swift", "saved by the tool"), logits(reloaded("out/checkpoint-2")))
    shutil.rmtree("out")


def stand_in(package):
    """Lets tools import what these samples do not use."""
    import importlib.machinery, types
    class Anything:
        def __new__(cls, *a, **k): return lambda f: f
    class Module(types.ModuleType):
        __path__ = []
        def __getattr__(self, name):
            if name.startswith("__"): raise AttributeError(name)
            return type(name, (Anything,), {})
    class Finder:
        def find_spec(self, name, path=None, target=None):
            return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.split(".")[0] == package else None
        def create_module(self, spec): return Module(spec.name)
        def exec_module(self, module): pass
    sys.meta_path.insert(0, Finder())


# MARK: torchtune, whose own rows of queries and keys are in another order

def torchtune(suite):
    stand_in("torchao")
    from torchtune import training
    from torchtune.models.convert_weights import hf_to_tune
    from torchtune.models.llama3 import lora_llama3
    from torchtune.modules.peft import get_adapter_state_dict, get_lora_module_names
    config = json.load(open(f"{BASE}/config.json"))
    for name, attention, more in (("torchtune", ["q_proj", "k_proj", "v_proj", "output_proj"], {}), ("torchtune-dora", ["q_proj", "v_proj"], dict(use_dora=True))):
        mlp, output = not more, not more
        torch.manual_seed(SEED)
        model = lora_llama3(attention, mlp, output, vocab_size=128, num_layers=2, num_heads=4, num_kv_heads=2, embed_dim=64, max_seq_len=64,
                            intermediate_dim=96, norm_eps=config["rms_norm_eps"], rope_base=10000, lora_rank=2, lora_alpha=4, **more).eval()
        weights = {k: v.float() for k, v in load_file(f"{BASE}/model.safetensors").items()}
        model.load_state_dict(hf_to_tune(weights, 4, 2, 64), strict=False)
        for module in model.modules():
            if hasattr(module, "initialize_dora_magnitude"): module.initialize_dora_magnitude()
        for key, p in model.named_parameters():
            with torch.no_grad():
                if "lora_" in key: p.copy_(torch.randn_like(p) * 0.2)
                elif "magnitude" in key: p.mul_(1 + 0.3 * torch.rand_like(p))
        with torch.no_grad(): expected = model(torch.tensor([TOKENS]))[0].float()
        os.makedirs("base", exist_ok=True); shutil.copytree(BASE, "base", dirs_exist_ok=True)
        checkpointer = training.FullModelHFCheckpointer(checkpoint_dir="base", checkpoint_files=["model.safetensors"], model_type="LLAMA3", output_dir="out")
        checkpointer.load_checkpoint()
        checkpointer.save_checkpoint({training.ADAPTER_KEY: get_adapter_state_dict(model.state_dict()), training.ADAPTER_CONFIG: {
            "r": 2, "lora_alpha": 4, "target_modules": get_lora_module_names(attention, mlp, output), "peft_type": "LORA"}}, epoch=0, adapter_only=True)
        suite.add(name, "out/epoch_0", ("torchtune", "saved by the tool"), None if more else expected, **({"code": "unexpected_tensor"} if more else {}))
        shutil.rmtree("out")


# MARK: GGUF as llama.cpp's convert_lora_to_gguf.py writes it

def gguf(suite):
    from gguf import GGUFWriter
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    def place(module):
        if module in ("model.embed_tokens", "lm_head", "model.norm"): return {"m": "token_embd", "l": "output"}.get(module[0] if "norm" not in module else "") or "output_norm"
        _, _, layer, rest = module.split(".", 3)
        return f"blk.{layer}.{names[rest]}"
    def interleaved(rows, heads): return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)
    norms = ["input_layernorm", "post_attention_layernorm", "model.norm"]
    for name, settings in (
        ("gguf/head.gguf", dict(target_modules=QV + ["lm_head"])),
        ("gguf/embedding.gguf", dict(target_modules=QV + ["embed_tokens"])),
        # mergekit's; llama.cpp itself leaves these out.
        ("gguf/norms.gguf", dict(target_modules=QV, modules_to_save=norms)),
        ("gguf/everything.gguf", dict(target_modules=ALL + ["embed_tokens", "lm_head"], modules_to_save=norms)),
    ):
        model = adapted(base(), **settings)
        model.save_pretrained("out")
        writer = GGUFWriter("out.gguf", "llama")
        writer.add_type("adapter"); writer.add_string("adapter.type", "lora"); writer.add_float32("adapter.lora.alpha", 4.0)
        writer.add_name("Tiny"); writer.add_file_type(0); writer.add_quantization_version(2)
        writer.add_base_model_count(1); writer.add_base_model_name(0, "Tiny Llama")
        for key, tensor in load_file("out/adapter_model.safetensors").items():
            if key.endswith("base_layer.weight"): continue
            module, array = key.removeprefix("base_model.model."), tensor.float().numpy()
            if ".lora_" not in module:
                writer.add_tensor(place(module.removesuffix(".weight")) + ".weight", array)
                continue
            module, half = module.split(".lora_")
            half = half.removeprefix("embedding_")[0].lower()
            if half == "a" and module.endswith("embed_tokens"): array = array.T
            if half == "b" and module.endswith(("q_proj", "k_proj")): array = interleaved(array, 4 if module.endswith("q_proj") else 2)
            writer.add_tensor(f"{place(module)}.weight.lora_{half}", np.ascontiguousarray(array))
        writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
        suite.add(name, "out.gguf", ("gguf", "written by the published layout of llama.cpp's convert_lora_to_gguf.py"), logits(model))
        shutil.rmtree("out")


def main(output, *names):
    output = os.path.abspath(output)
    tools = {f.__name__.replace("_", "-"): f for f in (peft, tied, hf_trainer, trl, unsloth, axolotl, llamafactory, ms_swift, torchtune, mlx, mlx_tied, gguf)}
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        make_base(BASE)
        make_base(TIED, hidden_size=32, intermediate_size=48, tie_word_embeddings=True)
        llama, other = Suite(output, "llama", BASE), Suite(output, "tied", TIED)
        for name in names or tools:
            try: tools[name](other if name in ("tied", "mlx-tied") else llama); print("made", name)
            except ImportError as error:
                if names: raise
                print("left as they are:", name, error)
        for suite in (llama, other):
            for case in suite.cases.values():
                if max(case.get("tokens", TOKENS)) >= 128: case["resized"] = True
            suite.save()


if __name__ == "__main__":
    main(*sys.argv[1:])
