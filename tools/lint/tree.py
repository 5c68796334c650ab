"""What the lint scripts share: which files are the project's, and how findings are reported.

A finding is printed as path:line: message; a script ends with 1 when it has any.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.chdir(ROOT)


def git(*arguments):
    result = subprocess.run(["git", *arguments], capture_output=True, text=True)
    return result.stdout if result.returncode == 0 else ""


def files(*endings):
    """Tracked files and new ones that are not ignored, without those that are deleted."""
    names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return sorted({n for n in names if n and n.endswith(endings or "") and os.path.isfile(n)})


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def is_test(path):
    """Tests, fuzzers and benchmarks, which may look at more than the code beside them."""
    return bool(re.search(r"(_test|_fuzz|_bench)\.(cc|h)$", path)) or "/test/" in "/" + path


def code_lines(text):
    """(number, code, comment) of each line of C++, with comments and the insides of literals taken out of the code."""
    pattern = re.compile(r'R"(\w*)\((.*?)\)\1"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.S)
    comments = {}

    def blank(match):
        found = match.group(0)
        line = text.count("\n", 0, match.start()) + 1
        if found.startswith(("//", "/*")):
            for offset, part in enumerate(found.split("\n")):
                comments[line + offset] = comments.get(line + offset, "") + part
            return "\n" * found.count("\n")
        return '""' + "\n" * found.count("\n")

    code = pattern.sub(blank, text).split("\n")
    return [(n, line, comments.get(n, "")) for n, line in enumerate(code, 1)]


class Report:
    def __init__(self, name):
        self.name = name
        self.count = 0

    def add(self, path, line, message):
        self.count += 1
        print(f"{path}:{line}: {message}")

    def finish(self, looked_at):
        print(f"lint {self.name}: {looked_at} files, {self.count} findings")
        sys.exit(1 if self.count else 0)
