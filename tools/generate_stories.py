#!/usr/bin/env python3
# Writes small made-up stories, the training and evaluation text of the example model.
#
#   python3 tools/generate_stories.py --seed 1 --bytes 1000000 > stories.txt
#
# The same seed gives the same text. One paragraph is one line; an empty line separates stories.
# Templates: [a|b|] picks one alternative (nesting allowed), {A} is a name, {A.he} a pronoun, {x} a
# word of the story, {*x} any word of a list; "a/an" takes the right form; sentences get their
# capital letter at the end.
import argparse
import functools
import random
import re
import sys

from story_lexicon import (ANIMAL_NAMES, BOYS, COLOURS, GIRLS, PLACES, SEASONS, SIZES,
                           SMALL_ACTS, SPECIES, TOYS, TRAITS, WEATHERS)
from story_plots import PLOTS
from story_scenes import BAG, BAG_AGAIN, ENDINGS, SCENES, WORDS, vary

PRONOUNS = {"f": ("she", "her", "her", "herself"), "m": ("he", "him", "his", "himself")}


class Being:
    """A character: a name, a kind, a trait, and pronouns that agree."""

    def __init__(self, name, kind, sex, trait):
        self.name, self.kind, self.trait = name, kind, trait
        self.he, self.him, self.his, self.himself = PRONOUNS[sex]

    def __str__(self):
        return self.name


@functools.lru_cache(maxsize=2048)
def parse(template):
    """Template text -> tuple of parts: str, ('key', name) or ('choice', alternatives)."""
    parts, position = parse_sequence(template, 0, "")
    assert position == len(template), template
    return parts


def parse_sequence(text, position, stops):
    parts, plain = [], []
    while position < len(text) and text[position] not in stops:
        c = text[position]
        if c == "{":
            end = text.index("}", position)
            parts += ["".join(plain), ("key", text[position + 1:end])]
            plain, position = [], end + 1
        elif c == "[":
            alternatives = []
            while text[position] != "]":
                one, position = parse_sequence(text, position + 1, "|]")
                alternatives.append(one)
            parts += ["".join(plain), ("choice", alternatives)]
            plain, position = [], position + 1
        else:
            plain.append(c)
            position += 1
    parts.append("".join(plain))
    return tuple(parts), position


class Teller:
    """Tells one story: holds its characters and things, and expands templates with them."""

    def __init__(self, rng):
        self.rng = rng
        self.words = {}
        self.beings = []
        self.recent = {}
        self.add("weather", rng.choice(list(WEATHERS)))

    def add(self, key, value):
        self.words[key] = value
        return value

    def pick(self, key, options, *avoid):
        return self.add(key, self.rng.choice([o for o in options if o not in avoid]))

    def being(self, key, kind=None):
        """A new character: a child, or an animal when asked for (or one time in three)."""
        rng = self.rng
        if kind is None:
            kind = "child" if rng.random() < 0.67 else rng.choice(list(SPECIES))
        sex = rng.choice("fm")
        names = ANIMAL_NAMES if kind != "child" else GIRLS if sex == "f" else BOYS
        taken = [being.name for being in self.beings]
        name = rng.choice([n for n in names if n not in taken])
        if kind == "child":
            kind = "girl" if sex == "f" else "boy"
        self.beings.append(Being(name, kind, sex, rng.choice(list(TRAITS))))
        return self.add(key, self.beings[-1])

    def any(self, kind):
        """Any word of a list, but never twice running."""
        last = self.recent.get(kind)
        self.recent[kind] = self.rng.choice([word for word in WORDS[kind] if word != last])
        return self.recent[kind]

    def expand(self, parts):
        out = []
        for part in parts:
            if isinstance(part, str):
                out.append(part)
            elif part[0] == "choice":
                out.append(self.expand(self.rng.choice(part[1])))
            elif part[1][0] == "*":
                out.append(self.any(part[1][1:]))
            else:
                key, _, attribute = part[1].partition(".")
                value = self.words[key]
                value = str(getattr(value, attribute) if attribute else value)
                # A word of the lexicon may itself be a template.
                out.append(self.expand_text(value) if "{" in value or "[" in value else value)
        return "".join(out)

    def expand_text(self, template):
        return self.expand(parse(template))

    def say(self, *templates):
        return " ".join(filter(None, (self.expand_text(t).strip() for t in templates)))

    def aside(self, chance=0.8):
        """Mostly one sentence more: the weather, which stays the same in a story, or a free scene."""
        if self.rng.random() > chance:
            return ""
        if self.rng.random() < 0.25:
            return self.rng.choice(WEATHERS[self.words["weather"]][1] + SMALL_ACTS)
        return self.rng.choice(SCENES)

    def opening(self):
        """Who, when, what weather; at times a trait that shows, or something seen on the way."""
        weather = self.words["weather"]
        self.add("sky", self.rng.choice(WEATHERS[weather][0]))
        self.pick("season", SEASONS[weather])
        self.add("shown", TRAITS[self.words["A"].trait])
        return self.say(
            "[[Once upon a time|Long ago|Once], there [was|lived] a/an {A.trait} {A.kind} "
            "[named|called] {A}.|{A} was a/an {A.trait} {A.kind}.|{A} the {A.kind} was "
            "[very|always|a little too] {A.trait}.]",
            "[[One [day|morning|afternoon]|One {season} day], {sky}.|It was [Monday|"
            "Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday], and {sky}.|]",
            "[{A.he} {shown}.|]", self.aside(), self.bag())

    def bag(self):
        """Sometimes {A} carries things that the end of the story comes back to."""
        if self.rng.random() < 0.5:
            return ""
        self.thing("i"), self.pick("snack", WORDS["food"])
        return BAG

    def ending(self):
        again = self.rng.choice(BAG_AGAIN) if "snack" in self.words else ""
        return self.say(again, self.rng.choice(ENDINGS) if self.rng.random() < 0.6 else "")

    def place(self, key, *avoid):
        name = self.pick(key, list(PLACES), *avoid)
        preposition, activity, hiding = PLACES[name]
        self.add(key + "_at", f"{preposition} the {name}")
        self.add(key + "_do", activity)
        self.add(key + "_hide", hiding)
        return name

    def thing(self, key, *avoid):
        """A toy with a colour or a size: 'kite' and 'red kite'."""
        noun = self.pick(key, TOYS, *avoid)
        self.add(key + "_adj", self.rng.choice(COLOURS + SIZES))
        self.add(key + "_full", f"{self.words[key + '_adj']} {noun}")
        return noun


def polish(text):
    """Articles, capitals at the beginning of sentences and of speech."""
    text = re.sub(r" +(?=[ ,.;])", "", text).strip()
    text = re.sub(r"\b[aA]/an (?=[aeiou]|honest)", "an ", text)
    text = re.sub(r"\b[aA]/an ", "a ", text)
    upper = lambda m: m.group(1) + m.group(2).upper()
    return re.sub(r'((?:^|[.!?] |\." )"?|(?:^| )")([a-z])', upper, text)


def story(rng):
    teller = Teller(rng)
    paragraphs = rng.choice(PLOTS)(teller)
    paragraphs[-1] += " " + teller.ending()
    return "\n".join(polish(vary(paragraph, teller)) for paragraph in paragraphs)


def stories(seed, total_bytes):
    """Stories until the text, with its separators, would pass total_bytes."""
    rng = random.Random(seed)
    while True:
        text = story(rng) + "\n\n"
        total_bytes -= len(text)
        if total_bytes < 0:
            return
        yield text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--bytes", type=int, required=True, help="upper limit for the size of the text")
    arguments = parser.parse_args()
    for text in stories(arguments.seed, arguments.bytes):
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
