"""Compile every kernel into shared libraries: ``python -m hexscope.kernels.build`` (or ``make kernels``).

For each level of x86-64, numba compiles the kernels to LLVM's language in a process of its own, LLVM makes objects of
it, and the C compiler links them with small functions that unpack the arguments. Nothing of Python or numba is in a
library; it needs libc and libm.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hexscope.kernels.library import FOLDER, LEVELS, ROOM, arguments, library_path, stamp, symbol

_C_TYPES = {
    "f4": "float",
    "f8": "double",
    "i4": "int",
    "i8": "long long",
    "u1": "unsigned char",
    "u2": "unsigned short",
}
_LINK = ["-shared", "-fPIC", "-O2", "-s", "-Wl,-z,noexecstack", "-Wl,--build-id=none", "-Wl,--no-undefined"]
_EXPORTS = "{ global: hx_*; local: *; };\n"

#: What numba's code may call: the strides of a contiguous array after ``ravel``, and the end of an array's owner, which
#: our arrays do not have.
_HELPERS = """
void NRT_MemInfo_call_dtor(void *owner) {}
int numba_attempt_nocopy_reshape(long long nd, const long long *dims, const long long *strides, long long newnd,
                                 const long long *newdims, long long *newstrides, long long itemsize, int is_f_order) {
    for (long long axis = newnd; axis-- > 0; itemsize *= newdims[axis]) newstrides[axis] = itemsize;
    return 1;
}
"""


def sources() -> list[Path]:
    """The files that declare kernels."""
    return sorted(p for p in ROOM.glob("*.py") if "\n@kernel(" in p.read_text(encoding="utf-8"))


def build() -> None:
    """Write the library of every level."""
    for name in LEVELS:
        env = {
            **os.environ,
            "HEXSCOPE_KERNELS": "build",
            "NUMBA_CPU_NAME": f"x86-64-{name}",
            "NUMBA_CPU_FEATURES": "",
            "NUMBA_DISABLE_INTEL_SVML": "1",
        }
        subprocess.run([sys.executable, "-m", "hexscope.kernels.build", name], env=env, check=True)


def build_level(level: str) -> None:
    """Write the library of one level, in a process that numba was told of it."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        code = [_HELPERS, "const char hx_all_stamps[] = " + f'"{" ".join(f"{p.stem}={stamp(p)}" for p in sources())}";']
        code.append("const char *hx_stamps = hx_all_stamps;")
        objects = []
        for number, (kernel, signature, apart) in enumerate(_kernels()):
            name = symbol(kernel.__module__, kernel.__name__)
            code.append(unpacking(name, signature))
            objects.append(room / f"{number}.o")
            objects[-1].write_bytes(_object(kernel, signature, apart, level))
        (room / "unpack.c").write_text("\n".join(code) + "\n", encoding="ascii")
        (room / "exports").write_text(_EXPORTS, encoding="ascii")
        made = room / "made.so"
        link = [*_LINK, f"-Wl,--version-script={room / 'exports'}", "-o", str(made)]
        command = [os.environ.get("CC", "cc"), *link, str(room / "unpack.c"), *map(str, objects)]
        subprocess.run([*command, "-lm"], check=True)
        beside = library_path(level).with_suffix(".new")
        beside.write_bytes(made.read_bytes())
        beside.replace(library_path(level))


def _kernels() -> Iterator[tuple[Callable[..., Any], str, bool]]:
    for source in sources():
        module = importlib.import_module(f"hexscope.kernels.{source.stem}")
        for thing in vars(module).values():
            if hasattr(thing, "declared") and thing.__module__ == module.__name__:
                yield thing, *thing.declared


def _object(kernel: Callable[..., Any], signature: str, apart: bool, level: str) -> bytes:
    """Machine code of a kernel, that may lie anywhere in memory, under the name ``loop_<symbol>``."""
    import numba
    from llvmlite import binding as llvm

    from hexscope.kernels.jit import OPTIONS

    bare = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    done = numba.njit(signature, noalias=apart, **OPTIONS, **bare)(kernel)
    (result,) = done.overloads.values()
    name = symbol(kernel.__module__, kernel.__name__)
    text = result.library.get_llvm_str().replace(result.fndesc.llvm_func_name, f"loop_{name}")
    target = llvm.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu=f"x86-64-{level}", features="", opt=3, reloc="pic", codemodel="default")
    return bytes(machine.emit_object(llvm.parse_assembly(text)))


def unpacking(name: str, signature: str) -> str:
    """C that takes the words of `library.bound` apart and calls a kernel as numba calls it.

    numba hands an array over as: owner, parent, number of items, bytes an item, data, shape, strides.
    """
    types, values, lines, word = ["void *", "void **"], ["&nothing", "&failed"], [], 0
    for number, (kind, axes) in enumerate(arguments(signature)):
        if not axes:
            types.append(_C_TYPES[kind])
            values.append(f"({_C_TYPES[kind]}) *(const {'double' if kind[0] == 'f' else 'long long'} *) (w + {word})")
            word += 1
            continue
        shape = [f"w[{word + 1 + axis}]" for axis in range(axes)]
        size = f"sizeof({_C_TYPES[kind]})"
        strides = [f"s{number}_{axis}" for axis in range(axes)]
        for axis in reversed(range(axes)):
            step = size if axis == axes - 1 else f"{strides[axis + 1]} * {shape[axis + 1]}"
            lines.append(f"    long long {strides[axis]} = {step};")
        types += ["void *", "void *", "long long", "long long", "void *", *["long long"] * (2 * axes)]
        values += ["0", "0", " * ".join(shape), size, f"(void *) w[{word}]", *shape, *strides]
        word += 1 + axes
    return (
        f"extern int loop_{name}({', '.join(types)});\n"
        f"void {name}(const long long *w) {{\n    void *nothing = 0, *failed = 0;\n"
        + "\n".join(lines)
        + f"\n    loop_{name}({', '.join(values)});\n}}"
    )


if __name__ == "__main__":
    build_level(sys.argv[1]) if len(sys.argv) > 1 else build()
