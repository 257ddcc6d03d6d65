#!/usr/bin/env python3
# Prints how the source hangs together, so that a change of structure can show its figures before and after.
#
#   python3 tools/structure.py [CHECKOUT]
#
# SQL scripts are files below sql/ named in sql/manifest. A script depends on another when it names a function, type or
# aggregate that the other creates; names that a DO block puts together at run time are not seen. Lines are counted
# without blank ones. A repeated run is six or more lines that stand in two places, white space apart.
import collections
import pathlib
import re
import subprocess
import sys

DEFINITION = re.compile(
    r"CREATE (?:OR REPLACE )?(FUNCTION|PROCEDURE|AGGREGATE|TYPE|DOMAIN|VIEW) (hartonomous(?:_internal)?)\.(\w+)")
MENTION = re.compile(r"\bhartonomous(?:_internal)?\.(\w+)")
RUN_LENGTH = 6


def manifest(root):
    names = [line.split("#")[0].split() for line in (root / "sql/manifest").read_text().splitlines()]
    return [words[0] for words in names if words]


def without_comments(text):
    return re.sub(r"--[^\n]*", "", text)


def dependencies(root, scripts):
    """Of each script, the scripts whose names it uses; and the definitions as (kind, schema, name)."""
    text = {name: without_comments((root / "sql" / name).read_text()) for name in scripts}
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


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
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
