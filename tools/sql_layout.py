"""How SQL is laid out: what is amiss in a file, and the file with it mended. Used by check_sql.py."""
import re

from sql_tokens import follow, lines_of, tokenize

# Words before which a long line is best broken, and second best.
CLAUSE = frozenset("FROM WHERE GROUP ORDER HAVING LIMIT UNION EXCEPT INTERSECT JOIN LEFT CROSS INNER RETURNING RETURNS "
                   "LANGUAGE USING INTO VALUES RETURN WINDOW".split())
CONDITION = frozenset("AND OR WHEN ELSE".split())
OPERATOR = frozenset("|| + - * / = <> < > <= >=".split())

# Words that begin a line rather than end one.
DANGLING = frozenset("FROM WHERE AND OR JOIN || RETURNING".split())

# Where a literal that holds a query is best split.
LITERAL_CLAUSE = re.compile(r" (?=(?:FROM|WHERE|JOIN|LEFT|GROUP|ORDER|AND|VALUES)\b)")


def break_before(previous, token):
    """How good it is to break before a token that follows another: 0 is best, None is not at all."""
    if previous.text in ("SELECT", "=>", "DISTINCT"):
        return None
    if token.text in CLAUSE or (token.kind == "meta" and previous.kind != "meta"):
        return 0
    if previous.kind in ("comma", "semicolon"):
        return 0
    if previous.text == "IS" and token.kind == "string":
        return 0
    if token.text in CONDITION:
        return 1
    if token.kind == "operator" and token.text in OPERATOR:
        return 2
    if previous.kind == "open" and token.kind != "close":
        return 3
    return None


def within_small_groups(tokens, longest=48):
    """The indices of tokens within brackets that close on the same line and hold little, such as v (name, value)."""
    within, opened = set(), []
    for index, token in enumerate(tokens):
        if token.kind == "open":
            opened.append(index)
        elif token.kind == "close" and opened:
            begin = opened.pop()
            if sum(len(t.text) for t in tokens[begin:index]) <= longest:
                within.update(range(begin + 1, index + 1))
    return within


def candidates(line, limit):
    """Where a line may be broken so that its first part fits, best first when sorted: (whether within a small group,
    depth, rank, -column, index of the token, brackets)."""
    brackets, column, previous, first = line.brackets, 0, None, True
    small = within_small_groups(line.tokens)
    for index, token in enumerate(line.tokens):
        if token.kind not in ("blank", "comment"):
            rank = break_before(previous, token) if previous else None
            end = column - (index > 0 and line.tokens[index - 1].kind == "blank")
            ends_values = token.kind == "close" and brackets[-1].values and len(brackets) <= len(line.brackets)
            if ends_values:
                rank, brackets = 0, brackets[:-1]
            if rank is not None and end <= limit and end > line.indent + 6:
                yield index in small, len(brackets), rank if rank > 1 else 0, -column, index, brackets
            brackets = brackets if ends_values else follow(brackets, token, line.indent, first)
            previous, first = token, False
        column = len(token.text.rsplit("\n", 1)[-1]) + (0 if "\n" in token.text else column)


def continuation(line, brackets, closes=None):
    """The indentation of what follows a break."""
    top = brackets[-1]
    if closes:
        return closes.line_indent
    if top.text[0] in "([":
        return top.indent if top.indent >= 0 else top.line_indent + 2
    begin = top.statement if top.statement >= 0 else line.indent
    return line.indent if line.indent > begin else begin + 2


def split_literal(line, limit):
    """Splits the literal that crosses the limit at a blank: two literals with a newline between them are one."""
    begins, column = [], 0
    for token in line.tokens:
        begins.append(column)
        column += len(token.text)
    literals = [i for i, t in enumerate(line.tokens)
                if t.text.startswith("'") and "\n" not in t.text and len(t.text) > 40]
    crossing = [i for i in literals if begins[i] + len(line.tokens[i].text) > limit]
    if not literals:
        return None
    index = crossing[0] if crossing else literals[-1]
    text = line.tokens[index].text
    room = min(limit - begins[index] - 1, len(text) - 12)
    starts = [m.start() for m in LITERAL_CLAUSE.finditer(text[:room])]
    at = starts[-1] if starts and starts[-1] > room // 2 else text.rfind(" ", 1, room)
    if at <= 20:
        at = text.rfind(",", 1, room)
    if at <= 20:
        return None
    before = "".join(t.text for t in line.tokens[:index]) + text[:at + 1] + "'"
    after = "'" + text[at + 1:] + "".join(t.text for t in line.tokens[index + 1:])
    return before + "\n" + " " * (line.indent if before.lstrip().startswith("'") else line.indent + 2) + after


def comment_above(line):
    """Moves a comment at the end of a long line above it."""
    comment = line.tokens[-1]
    if comment.kind != "comment" or not comment.text.startswith("--"):
        return None
    pad = " " * line.indent
    code = "".join(t.text for t in line.tokens[:-1]).rstrip()
    return pad + comment.text + "\n" + code if code else None


def fill_comments(text, limit):
    """The text with comments that have a long line filled anew, from that line to the end of the paragraph."""
    lines, out, rest = text.split("\n"), [], None
    for line in lines:
        match = re.match(r"( *)-- (?=[\w`'\"(])", line)
        if rest is not None:
            if match and match.group() == rest[0]:
                line = rest[0] + rest[1] + " " + line[len(rest[0]):]
            else:
                out.append(rest[0] + rest[1])
            rest = None
        while match and len(line) > limit:
            at = line.rfind(" ", 0, limit + 1)
            out.append(line[:at])
            rest = (match.group(), line[at + 1:])
            line = rest[0] + rest[1]
        if rest is None:
            out.append(line)
    return "\n".join(out)


def shorter(line, limit):
    """A long line as two; None when there is no place to break it."""
    above = comment_above(line)
    if above:
        return above
    places = sorted(candidates(line, limit), key=lambda place: place[:4])
    if not places:
        return split_literal(line, limit)
    *_, index, brackets = places[0]
    before = "".join(t.text for t in line.tokens[:index]).rstrip(" ")
    after = "".join(t.text for t in line.tokens[index:])
    closed = line.brackets[len(brackets)] if line.tokens[index].kind == "close" else None
    return before + "\n" + " " * continuation(line, brackets, closed) + after


def shorten(text, limit):
    """The text with long lines broken as often as it takes."""
    while True:
        result, changed = [], False
        for line in lines_of(tokenize(text)):
            source = "".join(t.text for t in line.tokens)
            short = shorter(line, limit) if line.longest() > limit else None
            changed = changed or short is not None
            result.append(short or source)
        if not changed:
            return fill_comments(text, limit)
        text = "\n".join(result[:-1]) + "\n" if result[-1] == "" else "\n".join(result)


def misaligned(tokens):
    """Lines of elements of a list that do not begin where its first such line does: (line, by how much to move it)."""
    columns, after_comma = {}, False
    for line in lines_of(tokens):
        inner = [t for t in line.tokens if t.kind not in ("blank", "comment")]
        top = line.brackets[-1]
        if after_comma and inner and inner[0].kind != "close" and len(line.brackets) > 1 and top.text[0] in "([":
            expected = columns.setdefault(top.number, line.indent + 2 * (line.indent == top.line_indent))
            if line.indent != expected:
                yield line, expected - line.indent
        if inner:
            after_comma = inner[-1].kind == "comma"


def aligned(text):
    """The text with such lines moved, and what is within their brackets with them."""
    while found := next(misaligned(tokenize(text)), None):
        wanted, by = found
        result, within = [], None
        for line in lines_of(tokenize(text)):
            source = "".join(t.text for t in line.tokens)
            if within is not None and len(line.brackets) <= within:
                within = None
            if line.tokens and line.tokens[0].line == wanted.tokens[0].line:
                within = len(line.brackets)
                source = moved(source, by)
            elif within is not None:
                source = moved(source, by)
            result.append(source)
        text = "\n".join(result[:-1]) + "\n" if result[-1] == "" else "\n".join(result)
    return text


def moved(source, by):
    return " " * by + source if by > 0 else source[min(-by, len(source) - len(source.lstrip(" "))):]


def lists_of_values(tokens):
    """The VALUES lists: (index of VALUES, rows), a row being a pair of indices, of its bracket and after the last."""
    for index, token in enumerate(tokens):
        if token.text != "VALUES":
            continue
        rows, depth, begin = [], 0, index
        for i in range(index + 1, len(tokens)):
            t = tokens[i]
            if depth == 0 and t.kind in ("blank", "newline", "comma", "comment"):
                continue
            if depth == 0 and t.text != "(":
                break
            begin = i if depth == 0 else begin
            depth += (t.kind == "open") - (t.kind == "close")
            if depth == 0:
                rows.append((begin, i + 1))
        if rows:
            yield index, rows


def dangling(tokens):
    """Keywords at the end of a line that belong at the beginning of the next: indices of tokens."""
    for index, token in enumerate(tokens):
        of_distinct = token.text == "FROM" and index > 1 and tokens[index - 2].text == "DISTINCT"
        ends_line = index + 1 < len(tokens) and tokens[index + 1].kind == "newline"
        if token.text in DANGLING and ends_line and not of_distinct:
            yield index


def undangled(tokens):
    """The text with such keywords moved to the next line."""
    texts = [t.text for t in tokens]
    for index in dangling(tokens):
        if index > 1 and tokens[index - 1].kind == "blank" and tokens[index - 2].kind != "newline":
            pad = index + 2 if tokens[index + 2].kind == "blank" else None
            texts[index - 1] = "\n" + (tokens[pad].text if pad else "")
            texts[index + 1] = " "
            if pad:
                texts[pad] = ""
    return "".join(texts)


def joined(tokens):
    """Tokens on one line; None when there are some that need more than one."""
    if any(t.kind == "comment" or (t.kind != "newline" and "\n" in t.text) for t in tokens):
        return None
    return re.sub(r"\n *", " ", "".join(t.text for t in tokens)).replace("( ", "(")


def broken_lists(tokens, limit):
    """VALUES lists with a row that is broken though it would fit on a line: (index of VALUES, rows)."""
    for index, rows in lists_of_values(tokens):
        for begin, end in rows:
            text = joined(tokens[begin:end])
            if text and len(text) <= limit - 20 and any(t.kind == "newline" for t in tokens[begin:end]):
                yield index, rows
                break


def refilled(tokens, index, rows, limit):
    """The text of the file with the rows of a VALUES list filling lines. When a row, or what is between two, needs
    lines of its own, the broken rows are joined and nothing else."""
    texts = [joined(tokens[begin:end]) for begin, end in rows]
    between = [joined(tokens[end:begin]) for (_, end), (begin, _) in zip(rows, rows[1:])]
    before = "".join(t.text for t in tokens[:rows[0][0]])
    start = before.rsplit("\n", 1)[-1]
    opening = "".join(t.text for t in tokens[:index]).rsplit("\n", 1)[-1]
    indent = len(opening) - len(opening.lstrip()) + 2
    aligned = [start_of(tokens, begin) for begin, _ in rows[1:] if start_of(tokens, begin) is not None]
    if aligned and aligned[0] in (len(start), indent + 2) or not start.strip():
        indent = aligned[0] if aligned else len(start)
    plain = all(texts) and all(b is not None for b in between)
    out, column = before, len(start)
    for number, (begin, end) in enumerate(rows):
        text = texts[number] or "".join(t.text for t in tokens[begin:end])
        if number and not plain:
            out += "".join(t.text for t in tokens[rows[number - 1][1]:begin])
        elif number and column + 2 + len(text) + 1 > limit:
            out, column = out + ",\n" + " " * indent, indent
        elif number:
            out, column = out + ", ", column + 2
        out, column = out + text, column + len(text)
    return out + "".join(t.text for t in tokens[rows[-1][1]:])


def start_of(tokens, index):
    """The column of a token that begins a line, or None."""
    if tokens[index - 1].kind == "newline":
        return 0
    return len(tokens[index - 1].text) if [t.kind for t in tokens[index - 2:index]] == ["newline", "blank"] else None
