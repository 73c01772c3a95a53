"""See that a build for x86-64 runs on every such processor.

    python tools/check_instructions.py BUILD_FOLDER

Disassembles the core's object files (objdump). Instructions beyond SSE2 may be in the kernels' own
files and in functions whose name says for which set they are. In a kernel's file no such function
may be one that the linker merges with others of its name: it could take this one for everybody.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# VEX and EVEX; BMI and POPCNT; SSE3 to SSE4.2. "v" also begins VERR and the like, never compiled.
NEWER = re.compile(
    r"(?:v(?!err|erw|mcall|mlaunch|mx)\w+|k(?:mov|and|or|xor|test|ortest)\w+|popcnt|lzcnt|mulx|rorx"
    r"|[sr]h[lr]x|sarx|shlx|shrx|andn|bextr|bls\w+|pdep|pext|bzhi|crc32\w*|movbe"
    r"|h?addsub\w+|haddp[sd]|hsubp[sd]|lddqu|mov[sd]\wdup|movddup|pshufb|phadd\w+|phsub\w+|pabs\w"
    r"|palignr|pmadd?ubsw|pmulhrsw|psign\w|pblend\w+|blend\w+|dpp[sd]|extractps|insertps|mpsadbw"
    r"|packusdw|pcmp(?:eqq|gtq|[ei]str\w)|pextr[bdq]|pinsr[bdq]|p(?:max|min)(?:s[bd]|u[wd])"
    r"|pmov[sz]x\w+|pmul(?:dq|ld)|ptest|round[ps][sd]|movntdqa)"
)
OWN_SET = re.compile(r"Avx2|Avx512")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\s+(?:(?:lock|rep[nez]*|data16|bnd|notrack)\s+)*(\w+)")


def newer_in(path: Path) -> Iterator[tuple[str, str]]:
    """Functions of an object file that have newer instructions, with the first."""
    command = ["objdump", "-d", "--no-show-raw-insn", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    function = ""
    reported = ""
    for line in text.splitlines():
        if found := FUNCTION.match(line):
            function = found[1]
        elif function == reported:
            continue
        elif (found := INSTRUCTION.match(line)) and NEWER.fullmatch(found[1]):
            reported = function
            yield function, found[1]


def merged_in(path: Path) -> set[str]:
    """Functions of an object file that the linker merges with others of their name."""
    command = ["nm", "--defined-only", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    symbols = (line.split() for line in text.splitlines())
    return {name for _, kind, name in symbols if kind in "WwVvu"}


def wrong_in(path: Path) -> Iterator[str]:
    """What is wrong with an object file, a line each."""
    is_kernel = path.parent.name == "kernels"
    merged = merged_in(path) if is_kernel else set()
    for function, instruction in newer_in(path):
        name = function.partition(".")[0]  # of a part that the compiler split off
        if is_kernel and name not in merged and path.name != "portable.cpp.o":
            continue
        if not is_kernel and OWN_SET.search(function):
            continue
        yield f"{path.name}: {function} has {instruction}"


def main() -> int:
    """0 where nothing is wrong."""
    folder = Path(sys.argv[1])
    files = sorted(folder.glob("CMakeFiles/*/core_cpp/**/*.o"))
    if not any(path.name == "avx2.cpp.o" for path in files):
        sys.exit(f"{folder} holds no build of the core for x86-64")
    wrong = [line for path in files if "tests" not in path.parts for line in wrong_in(path)]
    newer = sum(1 for path in files if "tests" not in path.parts for _ in newer_in(path))
    print("\n".join(wrong) or f"{len(files)} files: {newer} functions of newer sets, each guarded")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
