"""The tokens of SQL as psql reads it, and its lines with the brackets open at their beginning."""
import re
from dataclasses import dataclass, replace

TOKEN = re.compile(r"""
    (?P<newline>\n)
  | (?P<blank>[ \t\r]+)
  | (?P<comment>--[^\n]*|/\*.*?\*/)
  | (?P<string>[eE]'(?:[^'\\]|\\.|'')*'|(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*')
  | (?P<dollar>\$(?:[A-Za-z_]\w*)?\$)
  | (?P<parameter>\$\d+)
  | (?P<quoted>"(?:[^"]|"")*")
  | (?P<cast>::)
  | (?P<assign>:=)
  | (?P<variable>:(?:\w+|'\w+'|"\w+"|\{\?\w+\}))
  | (?P<word>[^\W\d][\w$]*)
  | (?P<number>\d[\w.]*|\.\d[\w.]*)
  | (?P<meta>\\(?:[a-z!?]+[^\n]*|.))
  | (?P<open>[(\[])
  | (?P<close>[)\]])
  | (?P<comma>,)
  | (?P<semicolon>;)
  | (?P<dot>\.\.?)
  | (?P<operator>=>|[-+*/<>=~!@\#%^&|`?]+|.)
""", re.VERBOSE | re.DOTALL)

# A quotation in dollars is code when it begins so; of anything else the layout may matter.
CODE = re.compile(r"\s*(?:--[^\n]*\s*|\#\w+ \w+\s*)*(?:SELECT|VALUES|WITH|INSERT|UPDATE|DELETE|CALL|CREATE|DO|BEGIN|"
                  r"DECLARE|TABLE|ALTER|DROP)\b")

# Words that begin a statement within a body.
BEGINS = frozenset("BEGIN THEN LOOP ELSE DECLARE".split())


@dataclass(eq=False)
class Token:
    kind: str
    text: str
    line: int


def tokenize(text):
    """The tokens of a text. The marks of a quotation that holds code are brackets: its code is read, too."""
    tokens, position, line, ends = [], 0, 1, [(len(text), "")]
    while position < len(text):
        if position == ends[-1][0]:
            kind, word = "close", ends.pop()[1]
            tokens.append(Token(kind, word, line))
            position += len(word)
            continue
        match = TOKEN.match(text, position, ends[-1][0])
        kind, word = match.lastgroup, match.group()
        if kind != "dollar":
            pass
        elif (end := text.find(word, match.end(), ends[-1][0])) < 0:
            kind = "operator"
        elif CODE.match(text, match.end()):
            kind = "open"
            ends.append((end, word))
        else:
            kind, word = "string", text[position:end + len(word)]
        tokens.append(Token(kind, word, line))
        line += word.count("\n")
        position += len(word)
    return tokens


@dataclass
class Bracket:
    text: str
    line_indent: int        # of the line in which it was opened
    indent: int = -1        # of the first line that begins within it
    statement: int = -1     # within a quotation: the indentation of the statement at hand
    values: bool = False    # it holds a VALUES list
    number: int = 0         # tells brackets apart


class Line:
    """A line of tokens (with the rest of literals that span lines), and the brackets open at its beginning."""

    def __init__(self, tokens, brackets):
        self.tokens = tokens
        self.brackets = brackets
        self.indent = len(tokens[0].text) if tokens and tokens[0].kind == "blank" else 0

    def longest(self):
        return max((len(part) for part in "".join(t.text for t in self.tokens).split("\n")), default=0)


def follow(brackets, token, indent, fresh):
    """Takes a token into the brackets: they are copied, not changed. Returns them."""
    top = brackets[-1]
    if token.kind == "open":
        return brackets + [Bracket(token.text, indent, number=id(token))]
    if token.kind == "close" and len(brackets) > 1:
        return brackets[:-1]
    quotation = top.text[0] not in "(["
    if token.text == "VALUES" and not quotation:
        return brackets[:-1] + [replace(top, values=True)]
    ends = token.kind in ("semicolon", "meta") or token.text in BEGINS
    if quotation and (ends or (top.statement < 0 and token.kind not in ("blank", "comment"))):
        statement = -1 if ends else indent if fresh else top.line_indent
        return brackets[:-1] + [replace(top, statement=statement)]
    return brackets


def lines_of(tokens):
    """The file's lines, each with its brackets; depth 0 counts as a quotation."""
    brackets, start, line = [Bracket("$", 0)], [Bracket("$", 0)], []
    for token in tokens + [Token("newline", "\n", 0)]:
        if token.kind != "newline":
            line.append(token)
            continue
        current = Line(line, start)
        first = next((t for t in line if t.kind not in ("blank", "comment")), None)
        if first and first.kind != "close" and brackets and start[-1].indent < 0:
            top = start[-1]
            start = start[:-1] + [replace(top, indent=current.indent)]
        brackets = start
        for t in line:
            brackets = follow(brackets, t, current.indent, t is first)
        current.brackets = start
        yield current
        start, line = brackets, []
