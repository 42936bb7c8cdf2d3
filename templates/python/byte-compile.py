"""Compiles the Python sources of all packages whose scripts asked for it while that was put off.

Which files, for which version, and what is left out is decided by the distribution's own py3compile,
loaded as a module. Only its two slow parts are replaced: it starts dpkg once for every package, and
one compiler for every package after the other.
"""

import importlib.machinery
import importlib.util
import os
import py_compile
import sys
from multiprocessing import Pool

QUEUE = "/var/lib/provision/byte-compile"


def distribution_compiler():
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("py3compile", "/usr/bin/py3compile")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("py3compile", loader))
    loader.exec_module(module)
    return module


def sources_of(package, extensions=(".py",)):
    """What `dpkg -L` would print, without dpkg."""
    for name in (package, package.split(":")[0]):
        try:
            with open("/var/lib/dpkg/info/%s.list" % name, encoding="utf-8", errors="replace") as lines:
                return [line[:-1] for line in lines if line[:-1].endswith(tuple(extensions))]
        except FileNotFoundError:
            pass
    return []  # removed since it asked


def wanted(requests):
    """The files that these requests are about, with the versions to compile them for."""
    py3compile = distribution_compiler()
    py3compile.dpf.from_package = sources_of
    found = {}

    def collect(files, versions, force, optimize, patterns=None):
        for source, chosen in py3compile.filter_files(files, patterns, versions):
            found.setdefault(source, set()).update(chosen)

    py3compile.compile = collect
    for request in requests:
        sys.argv = ["py3compile"] + request
        try:
            py3compile.main()
        except SystemExit as end:
            if end.code:
                sys.exit("py3compile %s ended with %s" % (" ".join(request), end.code))
    return found


def compile_all(sources):
    failed = []
    for source in sources:
        try:
            py_compile.compile(source, doraise=True)
        except (py_compile.PyCompileError, OSError) as error:
            failed.append("%s: %s" % (source, error))
    return failed


def main():
    # A transaction may be adding requests right now: what we take away is ours.
    if os.path.exists(QUEUE + "/requests"):
        os.rename(QUEUE + "/requests", "%s/taken-%d" % (QUEUE, os.getpid()))
    taken = [os.path.join(QUEUE, name) for name in os.listdir(QUEUE) if name.startswith("taken-")]
    requests = []
    for name in taken:
        with open(name, encoding="utf-8") as lines:
            requests += [line.rstrip("\n").split("\x1f")[:-1] for line in lines]
    ours = sys.version_info[:2]
    found = wanted(requests)
    others = sorted({version for versions in found.values() for version in versions} - {ours})
    if others:
        # A host with several Pythons is rare: their own compilers do it, at their own pace.
        for request in requests:
            os.spawnv(os.P_WAIT, "/usr/bin/py3compile", ["py3compile"] + request)
    sources = [source for source, versions in found.items() if ours in versions and os.path.exists(source)]
    parts = [sources[start : start + 50] for start in range(0, len(sources), 50)]
    with Pool(os.cpu_count()) as pool:
        failed = [line for lines in pool.imap_unordered(compile_all, parts) for line in lines]
    for line in failed:
        print(line, file=sys.stderr)
    for name in taken:
        os.remove(name)
    print("compiled %d Python sources of %d packages" % (len(sources), len(requests)))


main()
