"""Reads configuration files as oslo.config does: in order, later ones win, and a file that cannot be read is an error."""

import glob
import os
import re


class Wrong(Exception):
    """Why a service does not start; one line."""


class Configuration:
    def __init__(self, files=(), folders=()):
        self.values = {}
        for path in files:
            if not os.path.exists(path):
                raise Wrong(f"Failed to find some config files: {path}")
            self.read(path)
        for folder in folders:
            if os.path.isdir(folder):
                for path in sorted(glob.glob(f"{folder}/*.conf")):
                    self.read(path)

    def read(self, path):
        try:
            with open(path) as file:
                lines = file.read().split("\n")
        except PermissionError:
            raise Wrong(f"Failed to open some config files: {path} (as user {os.geteuid()})") from None
        section, key = "DEFAULT", None
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip()[0] in "#;":
                key = None if not line.strip() else key
                continue
            found = re.match(r"\[(.+)\]\s*$", line)
            if found:
                section, key = found.group(1), None
            elif line[0] in " \t" and key:
                self.values[section, key] += "\n" + line.strip()
            else:
                found = re.match(r"\s*([^:=\s][^:=]*?)\s*[:=]\s*(.*?)\s*$", line)
                if not found:
                    raise Wrong(f"Failed to parse {path}: at {path}:{number}, No ':' or '=' found in assignment: {line!r}")
                key = found.group(1)
                value = found.group(2)
                if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                    value = value[1:-1]
                self.values[section, key] = value

    def get(self, section, key, default=""):
        return self.values.get((section, key), default)

    def need(self, section, key):
        value = self.get(section, key)
        if not value:
            raise Wrong(f"[{section}] {key} is not set")
        return value


def of(project, program, arguments):
    """The configuration of a program: what its command line names, else what its project reads by itself."""
    files, folders = [], []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name in ("--config-file", "--config-dir"):
            value = value if equals else next(words, "")
            (files if name == "--config-file" else folders).append(value)
    if files:
        return Configuration(files, folders)
    candidates = [f"/usr/share/{project}/{project}-dist.conf", f"/usr/share/{project}/{program}-dist.conf",
                  f"/etc/{project}/{project}.conf", f"/etc/{project}/{program}.conf"]
    there = [path for path in candidates if os.path.exists(path)]
    if not any(path.startswith("/etc/") for path in there):
        raise Wrong(f"no configuration: neither {candidates[2]} nor {candidates[3]}")
    return Configuration(there, folders)
