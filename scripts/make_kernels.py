#!/usr/bin/env python3
"""Compiles the GPU kernels: scripts/make_kernels.py [--check]

Sources/CMartletDevices/slang holds them once. A pinned slangc (from PyPI) makes SPIR-V of every entry point for each
element type, Debian 12's spirv-opt makes it what the oldest supported driver takes, and the argument blocks become C
structs. All of it is committed; --check compiles again and fails when anything differs.
"""
import filecmp, hashlib, json, os, re, shutil, struct, subprocess, sys, tempfile, zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.join(ROOT, "Sources/CMartletDevices")
WHEEL = "slangtorch-1.3.22-py3-none-manylinux_2_27_x86_64.whl"
WHEEL_SHA256 = "7755f2f53509ebbd65839dcd8a104e7105aeaf3e3600aea9385c2bec9beb2eaa"
ELEMENTS = ("f32", "bf16")
# Entry points that are compiled several times, each as a kernel of its own: the definition, and whether Debian's spirv-opt
# knows what comes of it.
VARIANTS = {"product_tile": {"shared": ("FRAGMENT_SHARED", True), "half": ("FRAGMENT_HALF", False), "bf16": ("FRAGMENT_BF16", False)}}
# Structs that kernels read through pointers, by the file that declares them.
IN_MEMORY = {"low_rank": ["Expansion", "Update", "Chunk"], "rows": ["Source", "Change", "Peak"], "attention": ["Place"]}


def compiler():
    """The pinned slangc, fetched once."""
    folder = os.path.join(ROOT, ".build/slang")
    path = os.path.join(folder, "slangtorch/bin/slangc")
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder, "slangtorch==1.3.22"], check=True)
        wheel = os.path.join(folder, WHEEL)
        with open(wheel, "rb") as file: found = hashlib.sha256(file.read()).hexdigest()
        if found != WHEEL_SHA256: sys.exit(f"{WHEEL} is not the file that is pinned: its SHA-256 is {found}")
        with zipfile.ZipFile(wheel) as archive: archive.extractall(folder)
        os.chmod(path, 0o755)
    return path


def entries(path):
    """Names of the entry points of a file."""
    with open(path) as file: return re.findall(r'\[shader\("compute"\)\][^{]*?void (\w+)\(', file.read())


def stripped(code):
    """SPIR-V without names and lines, which old drivers trip over."""
    words = struct.unpack(f"<{len(code) // 4}I", code)
    kept, at = list(words[:5]), 5
    while at < len(words):
        count, operation = words[at] >> 16, words[at] & 0xFFFF
        if operation not in (3, 4, 5, 6, 7, 8): kept += words[at:at + count]
        at += count
    return struct.pack(f"<{len(kept)}I", *kept)


def compile_entry(slangc, source, entry, definitions, folder, optimizes=True):
    """Bytes of SPIR-V, and the reflection of the entry's arguments."""
    raw, json_path, optimized = (os.path.join(folder, entry + end) for end in (".raw", ".json", ".spv"))
    subprocess.run([slangc, source, "-target", "spirv", "-entry", entry, "-stage", "compute", "-O0", *(f"-D{d}" for d in definitions), "-reflection-json", json_path, "-o", raw], check=True)
    with open(raw, "rb") as file: code = stripped(file.read())
    with open(raw, "wb") as file: file.write(code)
    if optimizes: subprocess.run(["spirv-opt", "-O", raw, "-o", optimized], check=True)
    with open(optimized if optimizes else raw, "rb") as file, open(json_path) as reflection: return file.read(), json.load(reflection)


def c_type(kind):
    """A field's C type and how many there are of it."""
    if kind["kind"] == "pointer": return "uint64_t", None
    if kind["kind"] == "scalar": return {"uint32": "uint32_t", "int32": "int32_t", "float32": "float", "uint64": "uint64_t"}[kind["scalarType"]], None
    if kind["kind"] == "array": return c_type(kind["elementType"])[0], kind["elementCount"]
    if kind["kind"] == "struct": return "cmd_" + snake(kind["name"]), None
    raise ValueError(kind)


def snake(name): return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def declare(kind, size, done, out):
    """Adds a struct, after those that it holds, and says where its fields must be."""
    if kind["name"] in done: return
    done.add(kind["name"])
    for field in kind["fields"]:
        inner = field["type"]["elementType"] if field["type"]["kind"] == "array" else field["type"]
        if inner["kind"] == "struct": declare(inner, None, done, out)
    name = "cmd_" + snake(kind["name"])
    out.append(f"typedef struct {name} {{")
    for field in kind["fields"]:
        text, count = c_type(field["type"])
        out.append(f"    {text} {field['name']}{'' if count is None else f'[{count}]'};")
    out.append(f"}} {name};")
    for field in kind["fields"]:
        out.append(f'_Static_assert(offsetof({name}, {field["name"]}) == {field["binding"]["offset"]}, "{name}");')
    if size: out.append(f'_Static_assert(sizeof({name}) == {size}, "{name}");')
    out.append("")


def argument(reflection):
    binding = next(p for p in reflection["entryPoints"][0]["parameters"] if "binding" in p and p["type"]["kind"] == "struct")
    return binding["type"], binding["binding"]["size"]


def make(target):
    slangc, sources = compiler(), os.path.join(TARGET, "slang")
    os.makedirs(os.path.join(target, "spirv")); os.makedirs(os.path.join(target, "include"))
    header, done, table = [], set(), []
    with tempfile.TemporaryDirectory() as folder:
        for file in sorted(os.listdir(sources)):
            source, stem = os.path.join(sources, file), file.removesuffix(".slang")
            for name in IN_MEMORY.get(stem, []):
                probe = os.path.join(sources, f".{stem}.{name}.slang")
                with open(source) as original, open(probe, "w") as copy: copy.write(original.read() + f'\n[shader("compute")] [numthreads(1, 1, 1)] void probe(uniform {name} a, uniform uint* to) {{ *to = sizeof({name}); }}\n')
                try: _, reflection = compile_entry(slangc, probe, "probe", ["BF16"], folder)
                finally: os.remove(probe)
                declare(*argument(reflection), done, header)
            for entry in entries(source):
                if entry in VARIANTS:
                    for variant, (definition, optimizes) in VARIANTS[entry].items():
                        code, reflection = compile_entry(slangc, source, entry, ["BF16", definition], folder, optimizes)
                        with open(os.path.join(target, "spirv", f"{entry}_{variant}.any.spv"), "wb") as out: out.write(code)
                        table.append((f"{entry}_{variant}", True))
                    declare(*argument(reflection), done, header)
                    continue
                code = {}
                for element in ELEMENTS:
                    code[element], reflection = compile_entry(slangc, source, entry, [element.upper()], folder)
                declare(*argument(reflection), done, header)
                same = code["f32"] == code["bf16"]
                for element in ("any",) if same else ELEMENTS:
                    with open(os.path.join(target, "spirv", f"{entry}.{element}.spv"), "wb") as out: out.write(code["f32" if same else element])
                table.append((entry, same))
    with open(os.path.join(target, "include/kernel_arguments.h"), "w") as out:
        out.write("// Made by scripts/make_kernels.py from the kernels' sources: what kernels are given, and what they read through\n// addresses. Do not edit.\n#ifndef KERNEL_ARGUMENTS_H\n#define KERNEL_ARGUMENTS_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n")
        out.write("\n".join(header))
        out.write("\n/// The kernels, in the order of `cmd_kernels`.\ntypedef enum cmd_kernel {\n" + "".join(f"    CMD_{e.upper()},\n" for e, _ in table) + "    CMD_KERNEL_COUNT,\n} cmd_kernel;\n\n#endif\n")
    with open(os.path.join(target, "kernels.c"), "w") as out:
        out.write('// Made by scripts/make_kernels.py: the compiled kernels. Do not edit.\n#include "include/CMartletDevices.h"\n\n#pragma clang diagnostic ignored "-Wc23-extensions"\n\n')
        for entry, same in table:
            for element in ("any",) if same else ELEMENTS:
                out.write(f'_Alignas(4) static const unsigned char {entry}_{element}[] = {{\n#embed "spirv/{entry}.{element}.spv"\n}};\n')
        out.write("\nconst cmd_code cmd_kernels[CMD_KERNEL_COUNT][2] = {\n")
        for entry, same in table:
            pair = ", ".join(f'{{"{entry}", {entry}_{e}, sizeof {entry}_{e}}}' for e in (("any", "any") if same else ELEMENTS))
            out.write(f"    {{{pair}}},\n")
        out.write("};\n")


def differences(a, b):
    """Files of a that b lacks or has otherwise."""
    for folder, _, files in os.walk(a):
        for file in files:
            mine = os.path.join(folder, file); theirs = os.path.join(b, os.path.relpath(mine, a))
            if not os.path.exists(theirs) or not filecmp.cmp(mine, theirs, shallow=False): yield os.path.relpath(mine, a)


def main():
    with tempfile.TemporaryDirectory() as fresh:
        made = os.path.join(fresh, "made")
        make(made)
        changed = sorted(differences(made, TARGET))
        stale = sorted(set(os.listdir(os.path.join(TARGET, "spirv")) if os.path.isdir(os.path.join(TARGET, "spirv")) else []) - set(os.listdir(os.path.join(made, "spirv"))))
        if "--check" in sys.argv:
            if changed or stale: sys.exit("not what the sources make: " + ", ".join(changed + stale) + "; run scripts/make_kernels.py")
            print(f"{len(os.listdir(os.path.join(made, 'spirv')))} kernels are what their sources make")
            return
        for file in stale: os.remove(os.path.join(TARGET, "spirv", file))
        shutil.copytree(made, TARGET, dirs_exist_ok=True)
        print(f"changed: {', '.join(changed) or 'nothing'}")


if __name__ == "__main__": main()
