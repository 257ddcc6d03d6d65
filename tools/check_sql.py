#!/usr/bin/env python3
"""Checks the layout of SQL files, and mends with --fix what can be mended without judgement.

    tools/check_sql.py [--fix] [FILE or DIRECTORY...]      default: sql, test/pgtap, test/sql, test/isolation

Everywhere: lines of at most 120 characters, no tabs, no trailing blanks, a newline at the end of the file.

In SQL also: reserved words are in upper case; FROM, WHERE, AND and the like begin a line and do not end one; a row of a
VALUES list that fits on a line is not broken; and the elements of a list that begin lines begin in the same column.

In the extension's own files (below sql/) also: the clauses of a function's head are on one line and in one order, its
COMMENT follows in the same file, and a body in PL/pgSQL begins with #variable_conflict use_variable.

--fix puts reserved words in upper case, joins the broken rows of VALUES lists, moves what begins in the wrong place,
and breaks long lines at the outermost comma, clause or operator that fits. Long literals become two with a newline
between them, which are one to SQL. No token changes otherwise. What is left to a person: literals of several lines.
"""
import pathlib
import re
import sys

from sql_layout import aligned, broken_lists, dangling, misaligned, refilled, shorten, tokenize, undangled

LIMIT = 120
ROOT = pathlib.Path(__file__).resolve().parent.parent
DEFAULT = ("sql", "test/pgtap", "test/sql", "test/isolation")

# PostgreSQL's reserved words, which name nothing else, and the words that begin statements of PL/pgSQL.
RESERVED = frozenset("""
all analyze and any array as asc both case cast check collate column constraint create cross current_date
current_timestamp default deferrable desc distinct do else end except fetch for foreign freeze from full
grant group having in initially inner intersect into is isnull join lateral leading left like limit natural not notnull
null offset on only or order outer placing primary references returning right select similar some
symmetric table tablesample then to trailing union unique user using variadic verbose when where window with
begin loop perform raise elsif declare
""".split())

# What follows RETURNS in the head of a function, in this order.
CLAUSES = ("LANGUAGE", "IMMUTABLE|STABLE|VOLATILE", "STRICT", "LEAKPROOF", "SECURITY DEFINER|SECURITY INVOKER",
           "PARALLEL (?:SAFE|RESTRICTED|UNSAFE)", r"COST \d+", r"ROWS \d+", r"SUPPORT \S+")
HEAD = re.compile("LANGUAGE (?:C|internal|sql|plpgsql(?:_as_owner)?)" + "".join(f"(?: (?:{clause}))?" for clause in CLAUSES[1:]))


def plain_faults(text):
    """Faults of any text file: (line number, what is wrong)."""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > LIMIT:
            yield number, f"{len(line)} characters, more than {LIMIT}"
        if "\t" in line:
            yield number, "a tab"
        if line != line.rstrip():
            yield number, "blanks at the end"
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield text.count("\n") + 1, "the file does not end with one newline"


def lower_case_words(tokens):
    """Reserved words that are not in upper case; a name after a dot or an argument's name before => is no such word."""
    for i, token in enumerate(tokens):
        if token.kind != "word" or token.text not in RESERVED:
            continue
        after_dot = i > 0 and tokens[i - 1].text == "."
        following = next((t.text for t in tokens[i + 1:] if t.kind not in ("blank", "newline")), "")
        is_call = token.text in ("is", "left", "right") and following == "("
        if not after_dot and not is_call and following not in ("=>", "."):
            yield token


def statements(tokens):
    """Statements at the top level of a file, each a list of tokens without comments before it."""
    statement, depth = [], 0
    for token in tokens:
        if not statement and token.kind in ("blank", "newline", "comment", "meta"):
            continue
        statement.append(token)
        depth += (token.kind == "open") - (token.kind == "close")
        if token.kind == "semicolon" and depth == 0:
            yield statement
            statement = []


def head_of(statement):
    """The text of a function from CREATE to the body, or None when the statement makes no function."""
    text = "".join(t.text for t in statement)
    if not re.match(r"CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE) ", text):
        return None
    body = re.search(r"\n(?:AS \$|  RETURN\b(?!S)|  BEGIN ATOMIC|BEGIN ATOMIC)", text)
    return text[:body.start()] if body else text.rstrip(";")


def head_fault(head):
    """What is wrong with the head of a function, or None."""
    lines = head.split("\n")
    clauses = next((i for i, line in enumerate(lines) if "LANGUAGE " in line), None)
    if clauses is None:
        return "a function without LANGUAGE before its body"
    line = lines[clauses].strip()
    symbol = re.match(r"AS '\w+'(?:, '\w+')? ", line)
    if symbol:
        line = line[symbol.end():]
    if not lines[clauses].startswith("  ") or not HEAD.fullmatch(line):
        return ("the clauses of a function are on one line, two blanks in, in the order "
                "[AS 'symbol'] LANGUAGE, volatility, STRICT, SECURITY, PARALLEL, COST, ROWS, SUPPORT")
    for rest in lines[clauses + 1:]:
        if not rest.startswith(("  SET ", "                  ")):
            return "after the clauses of a function come lines with SET, then its body"
    return None


def conflict_fault(head, statement):
    """What is wrong with how the body of a PL/pgSQL function begins, or None."""
    if "LANGUAGE plpgsql" not in head:
        return None
    body = "".join(t.text for t in statement)[len(head):]
    if re.match(r"\nAS \$(\w*)\$\n#variable_conflict use_variable\n", body):
        return None
    return ("a body in PL/pgSQL begins with #variable_conflict use_variable: users add columns to the tables, "
            "also of the names of its variables")


def function_faults(tokens):
    """Heads of functions, how their bodies begin, and comments that are missing."""
    commented, defined = {}, []
    for statement in statements(tokens):
        head = head_of(statement)
        text = "".join(t.text for t in statement[:12])
        if head is not None:
            name = re.match(r"CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE) ([\w.]+)", head)
            for fault in filter(None, (head_fault(head), conflict_fault(head, statement))):
                yield statement[0].line, fault
            defined.append((name.group(1) if name else "?", statement[0].line))
        comment = re.match(r"COMMENT ON (?:FUNCTION|PROCEDURE) ([\w.]+)", text)
        if comment:
            commented.setdefault(comment.group(1), []).append(statement[0].line)
    for name, line in reversed(defined):
        later = [at for at in commented.get(name, []) if at > line]
        if later:
            commented[name].remove(max(later))
        else:
            yield line, f"no COMMENT on {name} follows it"


def faults(path, text):
    """All faults of a file, in the order of its lines."""
    found = list(plain_faults(text))
    if path.suffix == ".sql":
        tokens = tokenize(text)
        found += [(t.line, f"{t.text} in lower case") for t in lower_case_words(tokens)]
        found += [(line, "a row of VALUES is broken though it fits on a line")
                  for line in (tokens[index].line for index, _ in broken_lists(tokens, LIMIT))]
        found += [(line.tokens[0].line, "elements of a list begin in different columns")
                  for line, _ in misaligned(tokens)]
        found += [(tokens[index].line, f"{tokens[index].text} ends a line: it begins the next")
                  for index in dangling(tokens)]
        if "sql" in path.parts and "test" not in path.parts:
            found += function_faults(tokens)
    return sorted(set(found))


def fixed(path, text):
    """The file's text with everything mended that needs no judgement."""
    text = "\n".join(line.rstrip() for line in text.split("\n")).rstrip("\n") + "\n"
    if path.suffix != ".sql":
        return text
    tokens = tokenize(text)
    for token in lower_case_words(tokens):
        token.text = token.text.upper()
    text = undangled(tokens)
    for _ in range(3):
        before = ""
        while text != before and (broken := next(broken_lists(tokens := tokenize(text), LIMIT), None)):
            before, text = text, refilled(tokens, *broken, LIMIT)
        text = aligned(shorten(text, LIMIT))
    return text


def files(arguments):
    """The files to look at, those of directories included; not what make puts together."""
    for argument in arguments:
        path = pathlib.Path(argument)
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix in (".sql", ".spec") and "--" not in p.name)
        else:
            yield path


def main(arguments):
    fix = "--fix" in arguments
    wanted = [a for a in arguments if a != "--fix"] or [ROOT / name for name in DEFAULT]
    count = 0
    for path in files(wanted):
        text = path.read_text(encoding="utf-8")
        shown = path.resolve().relative_to(ROOT) if path.resolve().is_relative_to(ROOT) else path
        if fix:
            after = fixed(shown, text)
            if after != text:
                path.write_text(after, encoding="utf-8")
                text = after
        for line, what in faults(shown, text):
            print(f"{shown}:{line}: {what}")
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
