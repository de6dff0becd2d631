#!/usr/bin/env python3
"""Compiles the GPU kernels: scripts/make_kernels.py [--check]

Sources/CMartletDevices/slang holds them once. Of every entry point and element type scripts/kernel_compilers.py makes
SPIR-V, which Debian 12's spirv-opt makes what the oldest supported driver takes, and PTX, which must assemble for all
cards; the argument blocks, which must be the same in both, become C structs. All of it is committed; --check compiles
again and fails when anything differs.
"""
import filecmp, os, re, shutil, sys, tempfile
import kernel_compilers as compilers

TARGET = os.path.join(compilers.ROOT, "Sources/CMartletDevices")
ELEMENTS = ("f32", "bf16")
# Entry points that are compiled several times, each as a kernel of its own: the definition, and whether Debian's spirv-opt
# knows what comes of it, and whether CUDA has it.
VARIANTS = {"product_tile": {"shared": ("FRAGMENT_SHARED", True, True), "half": ("FRAGMENT_HALF", False, False), "bf16": ("FRAGMENT_BF16", False, True)}}
# Threads of a group: what numthreads says, or what CUDA is given where Vulkan gives the subgroups'.
THREADS, VARIANT_THREADS = 64, 128
# Structs that kernels read through pointers, by the file that declares them.
IN_MEMORY = {"low_rank": ["Expansion", "Update", "Chunk"], "rows": ["Source", "Change", "Peak"], "attention": ["Place"]}


def entries(path):
    """Names of the entry points of a file."""
    with open(path) as file: return re.findall(r'\[shader\("compute"\)\][^{]*?void (\w+)\(', file.read())


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


def same_layout(a, b):
    """Whether two targets put all fields in the same places."""
    def places(kind): return [(f["name"], f["type"]["kind"], f["binding"]["offset"], f["binding"]["size"]) for f in kind["fields"]]
    return a[1] == b[1] and places(a[0]) == places(b[0])


class Kernels:
    """What is made of the sources, as files of a folder."""

    def __init__(self, target):
        self.target, self.header, self.declared, self.table = target, [], set(), []
        for folder in ("spirv", "ptx", "include"): os.makedirs(os.path.join(target, folder))

    def compile(self, source, entry, definitions, folder, optimizes=True, has_ptx=True):
        """SPIR-V and PTX of an entry point, or None where CUDA has none."""
        spirv, arguments = compilers.spirv(source, entry, definitions, folder, optimizes)
        text = None
        if has_ptx:
            text, other = compilers.ptx(source, entry, definitions, folder)
            if not same_layout(arguments, other): sys.exit(f"{entry} finds its arguments elsewhere in CUDA")
        declare(*arguments, self.declared, self.header)
        return spirv, text

    def add(self, name, codes, entry, threads):
        """A kernel, with its code by element; one for both where that is the same."""
        elements = ("any",) if len(set(codes.values())) == 1 else ELEMENTS
        for element, (spirv, text) in zip(elements, codes.values()):
            with open(os.path.join(self.target, "spirv", f"{name}.{element}.spv"), "wb") as out: out.write(spirv)
            if text is None: continue
            with open(os.path.join(self.target, "ptx", f"{name}.{element}.ptx"), "w") as out: out.write(text)
        self.table.append((name, elements, entry, threads, codes["f32"][1] is not None))

    def add_file(self, source, folder):
        stem = os.path.basename(source).removesuffix(".slang")
        for name in IN_MEMORY.get(stem, []):
            probe = os.path.join(os.path.dirname(source), f".{stem}.{name}.slang")
            with open(source) as original, open(probe, "w") as copy: copy.write(original.read() + f'\n[shader("compute")] [numthreads(1, 1, 1)] void probe(uniform {name} a, uniform uint* to) {{ *to = sizeof({name}); }}\n')
            try:
                arguments, other = (compilers.run_slang(probe, target, "probe", ["BF16", "CUDA"], os.path.join(folder, "probe")) for target in ("spirv", "cuda"))
                if not same_layout(arguments, other): sys.exit(f"{name} is laid out otherwise in CUDA")
                declare(*arguments, self.declared, self.header)
            finally: os.remove(probe)
        for entry in entries(source):
            for variant, (definition, optimizes, has_ptx) in VARIANTS.get(entry, {}).items():
                code = self.compile(source, entry, ["BF16", definition], folder, optimizes, has_ptx)
                self.add(f"{entry}_{variant}", {element: code for element in ELEMENTS}, entry, VARIANT_THREADS)
            if entry not in VARIANTS:
                codes = {element: self.compile(source, entry, [element.upper()], folder) for element in ELEMENTS}
                self.add(entry, codes, entry, THREADS)

    def write_header(self):
        with open(os.path.join(self.target, "include/kernel_arguments.h"), "w") as out:
            out.write("// Made by scripts/make_kernels.py from the kernels' sources: what kernels are given, and what they read through\n// addresses. Do not edit.\n#ifndef KERNEL_ARGUMENTS_H\n#define KERNEL_ARGUMENTS_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n")
            out.write("\n".join(self.header))
            out.write("\n/// The kernels, in the order of `cmd_kernels`.\ntypedef enum cmd_kernel {\n" + "".join(f"    CMD_{name.upper()},\n" for name, *_ in self.table) + "    CMD_KERNEL_COUNT,\n} cmd_kernel;\n\n#endif\n")

    def write_code(self):
        with open(os.path.join(self.target, "kernels.c"), "w") as out:
            out.write('// Made by scripts/make_kernels.py: the compiled kernels. Do not edit.\n#include "include/CMartletDevices.h"\n\n#pragma clang diagnostic ignored "-Wc23-extensions"\n\n')
            for name, elements, _, _, has_ptx in self.table:
                for element in elements:
                    out.write(f'_Alignas(4) static const unsigned char {name}_{element}[] = {{\n#embed "spirv/{name}.{element}.spv"\n}};\n')
                    if has_ptx: out.write(f'static const char {name}_{element}_ptx[] = {{\n#embed "ptx/{name}.{element}.ptx" suffix(, 0)\n}};\n')
            out.write("\nconst cmd_code cmd_kernels[CMD_KERNEL_COUNT][2] = {\n")
            for name, elements, entry, threads, has_ptx in self.table:
                codes = []
                for element in elements if len(elements) == 2 else 2 * elements:
                    ptx = f"{name}_{element}_ptx" if has_ptx else "NULL"
                    codes.append(f'{{{name}_{element}, sizeof {name}_{element}, {ptx}, "{entry}", {threads}}}')
                out.write("    {" + ",\n     ".join(codes) + "},\n")
            out.write("};\n")


def make(target):
    compilers.fetch()
    sources, kernels = os.path.join(TARGET, "slang"), Kernels(target)
    with tempfile.TemporaryDirectory() as folder:
        for file in sorted(os.listdir(sources)): kernels.add_file(os.path.join(sources, file), folder)
    kernels.write_header()
    kernels.write_code()


def differences(a, b):
    """Files of a that b lacks or has otherwise."""
    for folder, _, files in os.walk(a):
        for file in files:
            mine = os.path.join(folder, file); theirs = os.path.join(b, os.path.relpath(mine, a))
            if not os.path.exists(theirs) or not filecmp.cmp(mine, theirs, shallow=False): yield os.path.relpath(mine, a)


def present(target, folder):
    path = os.path.join(target, folder)
    return set(os.listdir(path)) if os.path.isdir(path) else set()


def main():
    with tempfile.TemporaryDirectory() as fresh:
        made = os.path.join(fresh, "made")
        make(made)
        changed = sorted(differences(made, TARGET))
        stale = [os.path.join(folder, file) for folder in ("spirv", "ptx") for file in present(TARGET, folder) - present(made, folder)]
        if "--check" in sys.argv:
            if changed or stale: sys.exit("not what the sources make: " + ", ".join(changed + stale) + "; run scripts/make_kernels.py")
            print(f"{len(present(made, 'spirv'))} kernels in SPIR-V and {len(present(made, 'ptx'))} in PTX are what their sources make")
            return
        for file in stale: os.remove(os.path.join(TARGET, file))
        shutil.copytree(made, TARGET, dirs_exist_ok=True)
        print(f"changed: {', '.join(changed) or 'nothing'}")


if __name__ == "__main__": main()
