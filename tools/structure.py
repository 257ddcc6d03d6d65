#!/usr/bin/env python3
# Prints how the source hangs together, so that a change of structure can show its figures before and after.
#
#   python3 tools/structure.py [CHECKOUT]
#   python3 tools/structure.py --check       exits with 1 when sql/manifest is not what the scripts need
#   python3 tools/structure.py --manifest    prints sql/manifest as it should be
#
# SQL scripts are files below sql/ named in sql/manifest, which has a line for each: its name, a colon, and the scripts it
# needs, all of which stand above it. A script needs another when it names a function, procedure, aggregate or type that
# the other creates; names that are put together at run time are not seen, and those in the text of a hint are for people.
# Lines are counted without blank ones. A repeated run is six or more lines that stand in two places, white space apart.
import collections
import pathlib
import re
import subprocess
import sys

DEFINITION = re.compile(
    r"CREATE (?:OR REPLACE )?(FUNCTION|PROCEDURE|AGGREGATE|TYPE) (hartonomous(?:_internal)?)\.(\w+)")
MENTION = re.compile(r"\bhartonomous(?:_internal)?\.(\w+)")
RUN_LENGTH = 6


def manifest(root):
    """Of each script, in the order of the manifest, the scripts it is said to need."""
    lines = [line.split("#")[0].replace(":", " ").split() for line in (root / "sql/manifest").read_text().splitlines()]
    return {words[0]: words[1:] for words in lines if words}


def code_of(text):
    text = re.sub(r"^COMMENT ON .*?;$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"--[^\n]*", "", text)
    return re.sub(r"\b(?:hint =>|HINT =) .*?;$", lambda hint: re.sub(r"'(?:[^']|'')*'", "''", hint.group()), text,
                  flags=re.MULTILINE | re.DOTALL)


def dependencies(root, scripts):
    """Of each script, the scripts whose names it uses; and the definitions as (kind, schema, name)."""
    text = {name: code_of((root / "sql" / name).read_text()) for name in scripts}
    home, definitions = {}, []
    for name in scripts:
        for kind, schema, defined in DEFINITION.findall(text[name]):
            definitions.append((kind, schema, defined))
            home.setdefault(defined, name)
    uses = {name: {home[m] for m in MENTION.findall(text[name]) if m in home} - {name} for name in scripts}
    return uses, definitions


def cycles(uses):
    """The strongly connected components of more than one script (Tarjan 1972)."""
    order, low, stack, found = {}, {}, [], []

    def visit(node):
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(uses[node]):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            component = []
            while not component or component[-1] != node:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for node in uses:
        if node not in order:
            visit(node)
    return found


def tracked(root, *folders):
    listed = subprocess.run(["git", "-C", str(root), "ls-files", *folders], check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split() if name.endswith((".cpp", ".hpp", ".sql"))]


def lines_of(root, name):
    return [" ".join(line.split()) for line in (root / name).read_text().splitlines() if line.strip()]


def repeated_runs(root, names):
    """Runs of lines that stand in two places; a longer run counts once."""
    places = collections.defaultdict(list)
    for name in names:
        lines = lines_of(root, name)
        for first in range(len(lines) - RUN_LENGTH + 1):
            window = tuple(lines[first:first + RUN_LENGTH])
            if sum(len(line) > 4 for line in window) == RUN_LENGTH:
                places[window].append((name, first))
    repeated = {place for where in places.values() if len(where) > 1 for place in where[1:]}
    return sum((name, first - 1) not in repeated for name, first in repeated)


def in_order(uses):
    """The scripts, each below all it needs, else as they come; without those of a cycle."""
    ordered = []
    while ready := [name for name in uses if name not in ordered and uses[name] <= set(ordered)]:
        ordered.append(ready[0])
    return ordered


def check_manifest(root):
    stated = manifest(root)
    uses, _ = dependencies(root, stated)
    wrong = [f"sql/manifest does not name sql/{name}" for name in sorted(
        str(path.relative_to(root / "sql")) for folder in ("api", "internal") for path in (root / "sql" / folder).glob("*.sql"))
             if name not in stated]
    wrong += ["these scripts need each other: " + " ".join(component) for component in cycles(uses)]
    position = {name: n for n, name in enumerate(stated)}
    for name, needs in stated.items():
        wrong += [f"{name} needs {other}: say so in sql/manifest" for other in sorted(uses[name] - set(needs))]
        wrong += [f"{name} does not need {other}" for other in needs if other not in uses[name]]
        wrong += [f"{name} needs {other}, which stands below it" for other in sorted(uses[name])
                  if position[other] > position[name]]
        wrong += [f"{name} is of the API and creates something in hartonomous_internal" for _ in [0]
                  if name.startswith("api/") and created_in(root, name, "hartonomous_internal")]
    print("\n".join(wrong) if wrong else "sql/manifest: in order")
    return 1 if wrong else 0


def created_in(root, name, schema):
    return any(s == schema for _, s, _ in DEFINITION.findall(code_of((root / "sql" / name).read_text())))


def print_manifest(root):
    uses, _ = dependencies(root, manifest(root))
    print("# The scripts of the extension in the order in which they are put together. Behind the colon: what each needs.")
    print("# `python3 tools/structure.py --manifest` prints this file from what the scripts say.")
    for name in in_order(uses):
        print(f"{name}: {' '.join(sorted(uses[name]))}".rstrip())


def main():
    arguments = sys.argv[1:]
    if arguments[:1] in (["--check"], ["--manifest"]):
        root = pathlib.Path(__file__).parent.parent
        sys.exit(check_manifest(root) if arguments[0] == "--check" else print_manifest(root))
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent)
    scripts = manifest(root)
    uses, definitions = dependencies(root, scripts)
    position = {name: n for n, name in enumerate(scripts)}
    forward = sorted((a, b) for a in uses for b in uses[a] if position[b] > position[a])
    callable_kinds = [(schema, name) for kind, schema, name in definitions if kind in ("FUNCTION", "PROCEDURE", "AGGREGATE")]
    print(f"{'SQL scripts':<44}{len(scripts):>7}")
    for component in cycles(uses) or [[]]:
        print(f"{'SQL scripts that form a cycle':<44}{len(component):>7}  {' '.join(component)}")
    print(f"{'references to a later script':<44}{len(forward):>7}")
    for schema in sorted({schema for schema, _ in callable_kinds}):
        mine = [name for s, name in callable_kinds if s == schema]
        print(f"{'functions written in ' + schema:<44}{len(mine):>7}  of {len(set(mine))} names")
    for folder in ("sql", "src", "include", "test"):
        names = tracked(root, folder)
        print(f"{'lines of ' + folder:<44}{sum(len(lines_of(root, n)) for n in names):>7}  in {len(names)} files")
    for folder in ("sql", "src"):
        print(f"{'repeated runs of six lines in ' + folder:<44}{repeated_runs(root, tracked(root, folder)):>7}")


if __name__ == "__main__":
    main()
