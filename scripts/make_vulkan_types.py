#!/usr/bin/env python3
"""Makes the few types of Vulkan that Martlet uses: scripts/make_vulkan_types.py [--check] [vk.xml]

Whole headers of Vulkan have more than a megabyte. What the files of Sources/CMartletDevices name is looked up in Vulkan's
registry (Debian: libvulkan-dev, /usr/share/vulkan/registry/vk.xml, Apache-2.0 or MIT) with what that needs.
"""
import os, re, sys
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, "Sources/CMartletDevices")
SOURCES = ("vulkan.h", "vulkan_instance.c", "vulkan_device.c", "vulkan_work.c")
TARGET = os.path.join(FOLDER, "Generated/vulkan_types.h")
NOTICE = """// Made by scripts/make_vulkan_types.py from Khronos' registry of Vulkan, which is
// Copyright 2015-2023 The Khronos Group Inc., SPDX-License-Identifier: Apache-2.0 OR MIT.
// Only what the backend names is here. Do not edit.
#ifndef VULKAN_TYPES_H
#define VULKAN_TYPES_H

#include <stddef.h>
#include <stdint.h>

#define VK_NULL_HANDLE NULL
typedef uint32_t VkBool32;
typedef uint32_t VkFlags;
typedef uint64_t VkFlags64;
typedef uint64_t VkDeviceSize;
typedef uint64_t VkDeviceAddress;
typedef void (*PFN_vkVoidFunction)(void);
"""
BASE = {"VkBool32", "VkFlags", "VkFlags64", "VkDeviceSize", "VkDeviceAddress", "PFN_vkVoidFunction"}


class Registry:
    def __init__(self, path):
        root = ElementTree.parse(path).getroot()
        self.types, self.values, self.enum_of, self.commands = {}, {}, {}, {}
        for item in root.findall("types/type"):
            name = item.get("name") or item.findtext("name") or item.findtext("proto/name")
            if name: self.types[name] = item
        for group in root.findall("enums"):
            for item in group.findall("enum"): self.add_value(item, group.get("name"), None)
        for extension in root.findall("feature") + root.findall("extensions/extension"):
            for item in extension.findall("require/enum"):
                self.add_value(item, item.get("extends"), extension.get("number"))
        for item in root.findall("commands/command"):
            if item.find("proto") is not None: self.commands[item.findtext("proto/name")] = item

    def add_value(self, item, group, number):
        name, value = item.get("name"), item.get("value")
        if item.get("bitpos"): value = f"{1 << int(item.get('bitpos')):#x}{'ull' if int(item.get('bitpos')) > 30 else ''}"
        elif item.get("offset"):
            value = str((-1 if item.get("dir") else 1) * (1000000000 + (int(item.get("extnumber") or number) - 1) * 1000 + int(item.get("offset"))))
        elif item.get("alias"): value = item.get("alias")
        if value is None: return
        self.values.setdefault(name, value); self.enum_of.setdefault(name, group)


def text(item):
    """A member or parameter as C, without its comment."""
    parts = [item.text or ""]
    for child in item:
        if child.tag != "comment": parts.append("".join(child.itertext()))
        parts.append(child.tail or "")
    return re.sub(r"\s+", " ", "".join(parts)).strip()


class Writer:
    def __init__(self, registry, words):
        self.registry, self.words, self.done, self.out = registry, words, set(BASE), []

    def value(self, name):
        """A constant's number."""
        value = self.registry.values[name]
        return self.value(value) if value in self.registry.values else value

    def values_of(self, group):
        return sorted(w for w in self.words if self.registry.enum_of.get(w) == group)

    def declare(self, name, is_whole):
        """Declares a type after those that it needs; a struct that is only pointed to has no members."""
        key = name if is_whole else name + "*"
        if name in self.done or key in self.done: return
        self.done.add(key)
        item = self.registry.types.get(name)
        if item is None or not name.startswith("Vk"): return
        if item.get("alias"):
            self.declare(item.get("alias"), is_whole); self.done.add(name)
            self.out.append(f"typedef {item.get('alias')} {name};")
            return
        category = item.get("category")
        if category in ("struct", "union"):
            if not is_whole:
                self.out.append(f"typedef struct {name} {name};")
                return
            members = [m for m in item.findall("member") if m.get("api", "vulkan") != "vulkansc"]
            for member in members: self.need(member)
            self.out.append(("" if name + "*" in self.done else f"typedef {category} {name} {name};\n") + f"{category} {name} {{\n" + "".join(f"    {self.sized(text(m))};\n" for m in members) + "};")
        elif category == "handle": self.out.append(f"typedef struct {name}_T *{name};")
        elif category == "enum":
            lines = "".join(f"    {v} = {self.value(v)},\n" for v in self.values_of(name))
            self.out.append(f"typedef enum {name} {{\n{lines}    {name}_MAX = 0x7fffffff,\n}} {name};")
        elif category == "bitmask":
            bits = item.get("requires") or item.get("bitvalues")
            wide = "64" if item.findtext("type") == "VkFlags64" else ""
            for value in self.values_of(bits) if bits else []:
                self.out.append(f"#define {value} {self.value(value)}")
            self.out.append(f"typedef VkFlags{wide} {name};")
            if bits: self.done.add(bits); self.out.append(f"typedef VkFlags{wide} {bits};")

    def sized(self, member):
        """Lengths that are constants, as numbers."""
        return re.sub(r"\[(VK_\w+)\]", lambda m: f"[{self.value(m[1])}]", member)

    def need(self, item):
        name, whole = item.findtext("type"), text(item)
        if name.startswith("PFN_"): return
        bits = self.registry.types.get(name)
        # The flags that a set of bits belongs to come with it.
        if bits is not None and bits.get("category") == "enum" and "FlagBits" in name:
            name = name.replace("FlagBits", "Flags")
        self.declare(name, "*" not in whole or name in self.words)

    def command(self, name):
        item = self.registry.commands[name]
        parameters = [p for p in item.findall("param") if p.get("api", "vulkan") != "vulkansc"]
        self.need(item.find("proto"))
        for parameter in parameters: self.need(parameter)
        result = item.findtext("proto/type")
        self.out.append(f"typedef {result} (*PFN_{name})({', '.join(text(p) for p in parameters)});")


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    registry = Registry(arguments[0] if arguments else "/usr/share/vulkan/registry/vk.xml")
    text = "".join(open(os.path.join(FOLDER, source)).read() for source in SOURCES)
    words = set(re.findall(r"\b(?:PFN_)?(?:vk[A-Z]|Vk[A-Z]|VK_)\w+", text))
    commands = {w.removeprefix("PFN_") for w in words} & set(registry.commands)
    writer = Writer(registry, words)
    for name in sorted(w for w in words if w in registry.types and registry.types[w].get("category") in ("struct", "union")): writer.declare(name, True)
    for name in sorted(words & set(registry.types)): writer.declare(name, True)
    for name in sorted(commands): writer.command(name)
    whole = [w for w in sorted(words) if w in registry.values and registry.enum_of[w] == "API Constants" and w not in ("VK_NULL_HANDLE",)]
    constants = "".join(f"#define {w} {registry.values[w].lower().replace('(', '').replace(')', '') if registry.values[w].startswith('(') else registry.values[w]}\n" for w in whole)
    header = NOTICE + constants + "\n" + "\n".join(writer.out) + "\n\n#endif\n"
    if "--check" in sys.argv:
        with open(TARGET) as file:
            if file.read() != header: sys.exit(f"{TARGET} is not what the registry gives; run scripts/make_vulkan_types.py")
        print("the types of Vulkan are what the registry gives")
    else:
        with open(TARGET, "w") as file: file.write(header)


main()
