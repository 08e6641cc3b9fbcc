"""A captured Metal function through clang's front end for OpenCL C++, and rules for what that lets through.

OpenCL C++ has Metal's address spaces (also on methods), clang's vector types, and much of Metal's list of forbidden
C++. Two modes: in Metal 4.1 an unqualified pointer is generic, before that it is `thread`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

from offmac.capture import Captured
from offmac.host import template_type
from offmac.text import (
    SHIM,
    explicit_arguments,
    parse_signature,
    preamble,
    signature_start,
    strip_comments,
    strip_instantiations,
    threadgroup_variables,
)

CLANG = shutil.which("clang-19")
_FLAGS = ["-x", "clcpp", "-cl-std=clc++2021", "-target", "x86_64-linux-gnu", "-cl-no-stdinc", "-nostdinc"]
_FLAGS += [
    "-cl-single-precision-constant",
    "-DMSL_LINT",
    "-DMLX_METAL_JIT",
    "-fsyntax-only",
    "-ferror-limit=8",
]
_FLAGS += ["-Wall", "-Wshadow", "-Wimplicit-float-conversion", "-Wno-implicit-int-float-conversion"]
_FLAGS += ["-Wno-unknown-attributes", "-Wno-unknown-pragmas", "-Wno-unused", "-Wno-user-defined-literals"]
_FLAGS += ["-Wno-pass-failed", "-Wno-undefined-internal", "-Wno-undefined-inline"]
_MODES = {
    "metal<4.1": "-all,+cl_khr_fp16",
    "metal>=4.1": "-all,+cl_khr_fp16,+__opencl_c_generic_address_space",
}

_SCALARS = r"bool|char|uchar|short|ushort|int|uint|long|ulong|half|float|bfloat|size_t|u?int(?:8|16|32|64)_t"
_TYPE = rf"(?:void|{_SCALARS}|b?float16_t|(?:u?(?:char|short|int|long)|half|float|bfloat)[234]|T|U)"
_SPACES = ("device", "constant", "threadgroup", "thread")
_NO_SPACE = "".join(rf"(?<!{space} )(?<!{space} const )" for space in _SPACES)
_RESERVED = "fragment|vertex|kernel|sampler|texture2d|depth2d|array|atomic_int|access|ray_data|imageblock"
_RULES = [
    (r"(?<![\w:])std\s*::", "std:: does not exist in MSL"),
    (r"\b(goto|long\s+double|long\s+long|asm|__asm__|register|union\s*{|try|catch|throw)\b", "not in MSL"),
    (r"\bdouble\b", "no double in MSL"),
    (r"#\s*include\s*(?!<metal_)\S+", "only Metal's own headers exist"),
    (
        r"\[\s*[&=]?[\w\s,&]*\]\s*(\([^()]*\)\s*)?(mutable\s*)?(->\s*\w+\s*)?{(?!\s*\])",
        "lambda: only late MSL versions have them",
    ),
    (r"\b(__builtin_\w+|__shfl\w*|__syncthreads|blockIdx|threadIdx|printf|assert)\b", "not MSL"),
    (
        r"(?<![\w.])(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])",
        "floating literal without f or h: float in MSL, double elsewhere",
    ),
    (
        rf"(?<![\w:]){_NO_SPACE}{_TYPE}\s*[*&]\s*(?:const\s+)?\w+\s*[=,;)\[]",
        "pointer or reference without address space",
    ),
    (rf"\(\s*(?:const\s+)?{_TYPE}\s*\*\s*\)", "cast to a pointer without address space"),
    (rf"\b(?:{_RESERVED}|{'|'.join(_SPACES)}|{_SCALARS})\s*=(?!=)", "reserved word used as a name"),
]


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _recursions(body: str) -> Iterator[tuple[int, str]]:
    functions = re.compile(
        r"\b(\w+)\s*\([^(){};]*\)\s*(?:const\s*)?(?:thread|device|constant|threadgroup)?\s*{"
    )
    for m in functions.finditer(body):
        if m[1] in ("if", "for", "while", "switch"):
            continue
        depth, end = 1, m.end()
        while depth and end < len(body):
            depth += {"{": 1, "}": -1}.get(body[end], 0)
            end += 1
        if re.search(rf"\b{m[1]}\s*\(", body[m.end() : end]):
            yield m.start(), m[1]


def _text_complaints(text: str, name: str) -> Iterator[str]:
    if m := re.search(r"[^\x00-\x7f]", text):
        yield f"{name}:{_line(text, m.start())}: text: not ASCII: MLX hands the source over as an ASCII string"
    body = strip_comments(text)
    for rule, why in _RULES:
        for m in re.finditer(rule, body):
            yield f"{name}:{_line(body, m.start())}: text: {why}: {m[0].strip()!r}"
    for at, function in _recursions(body):
        yield f"{name}:{_line(body, at)}: text: recursion: {function!r}"
    helpers = body[: signature_start(body)]
    if re.search(r"[;{}]\s*threadgroup\s+[\w:<>]+\s+\w+\s*[\[;]", helpers):
        yield f"{name}: text: threadgroup variable outside the kernel function"


def _translation_unit(captured: Captured) -> str:
    _, parameters = parse_signature(captured.text, captured.name)
    body = threadgroup_variables(strip_instantiations(strip_comments(captured.text)))
    # The one function of the preamble that is written with complex numbers, which have only a stand-in here.
    mlx = re.sub(
        r"^(?:template\s*<>\s*)?inline\s+(?:complex64_t|bool cast_to<bool, complex64_t>)[^{;]*{.*?^}\n",
        "",
        preamble("lint"),
        flags=re.DOTALL | re.MULTILINE,
    )
    declared = [
        f"{'const ' * p.const}{p.space} {template_type(captured, p.type)}{p.ref} a{i}"
        if p.kind == "buffer"
        else f"{p.type} a{i}"
        for i, p in enumerate(parameters)
    ]
    called = ", ".join(f"a{i}" for i in range(len(parameters)))
    return (
        f'{mlx}\n#line 1 "{captured.name}"\n{body}\n#line 1 "launcher"\nvoid msl_lint_call({", ".join(declared)}) '
        f"{{ {captured.name}{explicit_arguments(captured.text, captured.name)}({called}); }}\n"
    )


def _concerns(line: str, name: str) -> bool:
    """Whether a line of clang's is a complaint: float to half is implicit in MSL, to bfloat it is not."""
    if " error: " in line:
        return True
    narrows = "-Wimplicit-float" in line and not re.search(r"to '[^']*bf(loat|16)", line)
    return " warning: " in line and line.startswith(name) and not narrows


def lint(captured: Captured) -> list[str]:
    """What Apple's compiler would probably refuse in `captured`; empty if nothing. Needs clang-19."""
    complaints = list(_text_complaints(captured.text, captured.name))
    try:
        unit = _translation_unit(captured)
    except SyntaxError as error:
        return [*complaints, f"{captured.name}: text: {error}"]
    with tempfile.NamedTemporaryFile("w", suffix=".clcpp") as file:
        file.write(unit)
        file.flush()
        for mode, extensions in _MODES.items():
            command = [
                CLANG or "clang-19",
                *_FLAGS,
                "-Xclang",
                f"-cl-ext={extensions}",
                f"-I{SHIM}",
                file.name,
            ]
            done = subprocess.run(command, capture_output=True, text=True)
            found = [line for line in done.stderr.splitlines() if _concerns(line, captured.name)]
            complaints += [f"{mode}: {line}" for line in found]
            if done.returncode and not found:
                complaints.append(f"{mode}: {done.stderr[:300]}")
    return complaints
