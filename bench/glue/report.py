"""What the bench prints: settings, then rows of ours, the glue and the bar, as all benches do."""

import os
import time


class Report:
    def __init__(self, name):
        self.name = name
        self.settings = []
        self.rows = []

    def setting(self, key, value):
        self.settings.append((key, value))

    def row(self, what, ours, other, ratio="", bar="", met=None):
        """met: None where there is no bar, or where this machine cannot show it."""
        verdict = "" if not bar else "void" if met is None else "met" if met else "MISSED"
        self.rows.append((what, ours, other, ratio, bar, verdict))

    def missed(self):
        return [row[0] for row in self.rows if row[-1] == "MISSED"]

    def print(self):
        print(f"\n## {self.name}")
        for key, value in self.settings:
            print(f"{key + ':':<12} {value}")
        print("\n| what | Heptane | glue | ratio | bar | |\n|---|---|---|---|---|---|")
        for row in self.rows:
            print("| " + " | ".join(row) + " |")
        print(flush=True)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as text:
        names = [line.partition(":")[2].strip() for line in text if line.startswith("model name")]
    system = os.uname()
    return f"{len(names)} x {names[0] if names else 'unknown processor'}, {system.sysname} {system.release}"


def today():
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())


def millis(value):
    return "none came" if value is None else f"{value:.1f} ms"


def mebibytes(value):
    return f"{value / (1 << 20):.0f} MiB"
