# Learns a small SentencePiece-style ("llama" in GGUF) vocabulary from text, and encodes with it.
#
# Pieces are learned as byte-pair merges inside words; a merge's score is minus its rank, so that
# SentencePiece's rule, merge the adjacent pair whose joined piece scores highest, replays them.
import collections
import re

SPACE = "\u2581"  # SentencePiece's visible space, part of the piece that follows it
UNKNOWN_ID, BEGIN_ID, END_ID, FIRST_BYTE_ID = 0, 1, 2, 3
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # token types of GGUF
# Letters never join punctuation, and newlines stay byte tokens as in Llama's own vocabulary.
WORD = re.compile(SPACE + r"?[A-Za-z]+|" + SPACE + r"?[^A-Za-z" + SPACE + r"]|" + SPACE)


def count_words(text):
    return collections.Counter(WORD.findall(text.replace(" ", SPACE)))


def merge_word(symbols, left, right):
    """The word's symbols with every adjacent (left, right) joined, leftmost first."""
    merged, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and symbols[i] == left and symbols[i + 1] == right:
            merged.append(left + right)
            i += 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged


def learn_pieces(text, vocabulary_size):
    """(merges in rank order, characters): together with the fixed tokens vocabulary_size pieces."""
    words = [(list(word), n) for word, n in count_words(text).items() if word != "\n"]
    characters = sorted({c for symbols, _ in words for c in symbols})
    merges = []
    for _ in range(vocabulary_size - FIRST_BYTE_ID - 256 - len(characters)):
        pairs = collections.Counter()
        for symbols, n in words:
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += n
        # Ties by the text itself: the result must not depend on the order of counting.
        left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(left + right)
        words = [(merge_word(symbols, left, right), n) for symbols, n in words]
    return merges, characters


class Vocabulary:
    """tokens, scores and types as GGUF stores them, in SentencePiece's usual order."""

    def __init__(self, merges, characters):
        pieces = merges + characters
        if len(set(pieces)) != len(pieces):
            raise ValueError("two merges made the same piece")
        self.tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + pieces
        self.scores = [0.0] * (FIRST_BYTE_ID + 256) + [-float(rank) for rank in range(1, len(pieces) + 1)]
        self.types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(pieces)
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.cache = {}

    def encode_word(self, word):
        symbols = list(word)
        while len(symbols) > 1:
            joined = [self.ids.get(a + b) for a, b in zip(symbols, symbols[1:])]
            best = max((i for i, token in enumerate(joined) if token is not None),
                       key=lambda i: (self.scores[joined[i]], -i), default=None)
            if best is None:
                break
            symbols[best:best + 2] = [symbols[best] + symbols[best + 1]]
        out = []
        for symbol in symbols:
            known = self.ids.get(symbol)
            out += [known] if known is not None else [FIRST_BYTE_ID + b for b in symbol.encode()]
        return out

    def encode(self, text):
        """Token ids of the text as it stands (no space is put before it, no <s>).

        Word by word is exact, because no piece spans two of WORD's matches.
        """
        out = []
        for word in WORD.findall(text.replace(" ", SPACE)):
            if word not in self.cache:
                self.cache[word] = self.encode_word(word)
            out += self.cache[word]
        return out
