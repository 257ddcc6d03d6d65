# Free sentences for tools/generate_stories.py: what is seen, eaten, worn, dreamed or remembered.
#
# The plots alone are so regular that a model would soon know them by heart. These sentences draw on
# larger word lists ({*animal} is any animal), and synonyms and adverbs vary the telling of the plots,
# so that the text keeps a perplexity worth measuring.
import re

WORDS = {
    "adj": """big small old young fat thin tired angry happy strange funny pretty ugly fast slow tall wet dry
        cold warm lonely dusty dirty clean broken lazy wild wise poor rich rude calm busy lucky hairy
        famous silent blind giant magic""".split(),
    "colour": "red blue green yellow purple white brown pink silver golden black grey".split(),
    "animal": """cow horse pig sheep hen goose dog cat rat bat bee ant wolf deer lion tiger snake fish whale
        crab snail spider worm camel monkey parrot pigeon swan donkey beetle""".split(),
    "thing": """ball kite drum boat hat scarf bell box cup book coin shell basket doll ring feather spoon mask
        stone chair table lamp bottle bucket brush clock door hammer jar knife letter nail pan pillow
        plate pot rug shoe stick sword wheel window candle""".split(),
    "food": """bread cheese cake soup jam honey milk tea rice beans eggs butter plums pears apples cherries
        nuts peas fish carrots pudding salad noodles grapes melon corn toast juice figs cream""".split(),
    "person": """king queen baker farmer miller teacher sailor cook doctor tailor soldier hunter painter thief
        clown witch wizard giant prince pirate singer dancer nurse priest robber dwarf""".split(),
    "place": """by the pond|in the forest|on the hill|in the meadow|by the river|on the beach|in the barn|under
        the bridge|at the market|near the mill|behind the house|on the roof|in the street|at the
        station|in the park|under the table|in the kitchen|on the wall|at the door|in the snow|on the
        moon|in the cellar|under the bed|in the attic|near the church|in the next town|at sea|in a
        tree|across the road|in the corner|on the stairs|in the mountains""".replace("\n", " ").split("|"),
    "did": """slept|sang|danced|waited|laughed|cried|worked|sneezed|fell down|ran away|got lost|stood still|lived
        alone|told jokes|looked for gold|sold fruit|played chess|read a book|ate cake|drank tea|lost a
        shoe|made a fire|rang a bell|wrote letters|swam in circles|jumped up and down""".replace("\n", " ").split("|"),
    "can": """fly|sing|dance|talk|swim|cook|climb trees|read|count|laugh|tell stories|play the drum|catch
        mice|run fast|see in the dark|make rain|turn into stone|open doors|ride a horse|find
        gold|do tricks|grow flowers|eat fire|walk on water""".replace("\n", " ").split("|"),
    "wear": "coat hat scarf shirt skirt dress belt cap jacket vest apron cloak sweater shawl".split(),
    "number": "two three four five six seven nine ten twelve twenty".split(),
    "when": """in the morning|at noon|last night|last week|a year ago|on Sunday|on Monday|in winter|in
        summer|before supper|after school|the day before|long ago|at night""".replace("\n", " ").split("|"),
    "how": """softly loudly slowly quickly happily sadly angrily kindly bravely shyly proudly gently calmly
        politely quietly suddenly sleepily""".split(),
    "feel": "happy sad tired hungry cold warm lonely brave angry proud dizzy sick thirsty sleepy lucky bored".split(),
    "family": "mother father grandmother grandfather aunt uncle sister brother cousin".split(),
}
NP = "a/an [{*adj}|{*colour}] [{*animal}|{*person}|{*thing}]"
WHO = "a/an [{*adj}|{*colour}|] [{*animal}|{*person}]"
SCENES = [
    "[{A}|{A.he}] [saw|met|passed|noticed|heard] " + WHO + " {*place}.",
    "[{A}|{A.he}] saw {*number} {*colour} [birds|boats|horses|flowers|cars|fish|hens] {*place}.",
    "For [breakfast|lunch|supper] {A.he} [ate|made|had] [{*food}|{*food} with {*food}|{*food}, {*food} and {*food}].",
    "[{A}|{A.he}] had dreamed of " + NP + " that could {*can}.",
    '"Have you ever seen ' + NP + ' {*place}?" {A.he} [asked|had asked] {*when}.',
    "It [made {A} think|reminded {A.him}] of the [{*adj}|{*colour}] {*thing} that {A.his} {*family} had "
    "[bought|found|lost|made|seen|sold|broken|hidden] {*when}.",
    "[{A}|{A.he}] [wore|had on|was wearing] a/an {*colour} {*wear}[ and a/an [{*adj}|{*colour}] {*wear}|].",
    WHO + " {*did} {*place}.",
    "{A.his} {*family} {*did} {*place}, and {A.his} {*family} {*did} {*place}.",
    "The {*thing} {*place} was as {*adj} as " + NP + ".",
    "[{A}|{A.he}] [felt|was] {*feel} [and|but] {*feel}.",
    "[{A}|{A.he}] knew a [song|story|poem|riddle|joke] about " + WHO + " and " + NP + ".",
    "{*place}, {*number} [children|men|women|soldiers|sailors] {*did}.",
    "[{A}|{A.he}] [wanted|hoped|would have liked] to be a/an {*person} [one day|for a day|like {A.his} {*family}].",
    "[Nobody knew|{A} wondered|{A.he} forgot] why the {*person} {*did} {*place} {*when}.",
    '"{*when}, ' + WHO + ' {*did} here," said {A.his} {*family}.',
    "{A.his} {*family} [always|never|often] had {*food} with "
    "[cats|pigs|cows|dogs|hens|bees|rats|kings|queens|cooks|sailors|witches].",
    '"{*when}, ' + WHO + ' {*did} here," said {A.his} {*family}.',
    "{A.his} {*family} [always|never|often] had {*food} with "
    "[cats|pigs|cows|dogs|hens|bees|rats|kings|queens|cooks|sailors|witches].",
    "XX {*food} with "
    "[cats|pigs|cows|dogs|hens|bees|rats|kings|queens|cooks|sailors|witches].",
]
ENDINGS = [
    "[In the evening|At supper|Afterwards] they [ate|had|made] {*food}[ and {*food}|, {*food} and {*food}|].",
    "That night {A} dreamed of " + NP + " and of " + NP + ".",
    "{A} [wrote|told|sang] a [story|song|poem|letter] about it for {A.his} {*family}[, who {*did} {*place}|].",
    "[And {*place}|Meanwhile, {*place}], " + WHO + " {*did}.",
    "Everybody was {*feel}, only {A} was a little {*feel}.",
]
# What is said of {A} at the beginning and comes back at the end.
BAG = "In {A.his} [bag|pocket|basket] {A.he} [had|carried] a/an {i_full}[, a/an {*colour} {*thing}|] and some {snack}."
BAG_AGAIN = ["{A} [ate|shared] the {snack} [{*place}|with {A.his} {*family}|and went to sleep].",
             "{A} [looked at|held|put away|cleaned|gave away] the {i_full}[ {*how}|] and "
             "[laughed|smiled|yawned|slept].",
             "Only the {i_full} and the {snack} were still in {A.his} bag."]

# Words and phrases of the plots that may be replaced; each alternative fits the same grammar.
SYNONYMS = {
    '" said': '" said|" said|" answered|" replied|" whispered|" murmured|" explained|" laughed|" sighed',
    '" asked': '" asked|" asked|" wondered', '" cried': '" cried|" shouted|" called|" screamed|" yelled',
    "went to the": "went to the|walked to the|ran to the|hurried to the|rushed to the|wandered to the",
    "happy": "happy glad merry joyful pleased", "sad": "sad unhappy miserable gloomy upset",
    "nice": "nice lovely fine sweet good", "wanted to": "wanted to|wished to|hoped to|longed to|decided to",
    "very": "very very really terribly",
    "began to": "began to|started to", "found": "found discovered spotted", "loved": "loved liked adored",
    "gave him": "gave him|handed him|brought him", "gave her": "gave her|handed her|brought her",
    "for a long time": "for a long time|for hours|all afternoon|everywhere", "laughed": "laughed giggled chuckled",
    "at last": "at last|finally|in the end|after an hour", "terrible": "terrible awful dreadful horrible bad",
    "jumped": "jumped leaped hopped", "nobody": "nobody|no one", "everyone": "everyone everybody",
    "afraid": "afraid frightened scared", "friends": "friends companions", "smiled": "smiled grinned nodded",
    "good": "good good fine great", "wonderful": "wonderful great lovely splendid delicious",
    "louder": "louder stronger nearer", "of course": "of course|certainly|with pleasure",
    "thought": "thought thought believed",
    "heavy": "heavy huge great", "deep": "deep dark narrow", "all day": "all day|for a week|until night|every day",
}
SYNONYMS = {key: value.split("|") if "|" in value else value.split() for key, value in SYNONYMS.items()}
REPLACEABLE = re.compile(r"(?<![A-Za-z])(" + "|".join(sorted(SYNONYMS, key=len, reverse=True)) + r")\b")
SPEECH_END = re.compile(r'" (?:said|asked|cried|shouted|whispered) (?:the \w+|[A-Z]\w+)(?=\.)')
SENTENCE_END = re.compile(r'(?<=[.!?]) |(?<=[.!?]") (?=[A-Z])')

OPENERS = """then|so|now|suddenly|again|perhaps|later|at once|of course|in the end|luckily|a little later|with a
smile|with a sigh|as always|for once|to be honest|after a while|one more time|in fact|without a word|on one
leg|to no surprise|out of breath|all the same|of all things|before long|step by step|half asleep""".replace(
    "\n", " ").split("|")
TAILS = [
    " like a/an [{*adj}|{*colour}] [{*animal}|{*person}]", ", as {*adj} as a/an [{*animal}|{*person}|{*thing}]",
    " {*when}", ", and {his} {*family} {*did}", " with a/an {*adj} [smile|face|voice|heart|look]",
    ", {*feel} and {*feel}",
    ", but {his} {*family} {*did} {*place}", ", and a/an {*adj} [{*animal}|{*person}] {*did}",
]


def decorate(sentence, subject, teller):
    """A sentence that begins with its subject, with more words before, inside or behind it."""
    rng = teller.rng
    if rng.random() < 0.25 and sentence[-1] == ".":
        sentence = sentence[:-1] + teller.expand_text(rng.choice(TAILS).replace("{his}", subject.his)) + "."
    if rng.random() < 0.25:
        sentence = re.sub(r"^(\w+) (\w+ed)\b", lambda m: f"{m[1]} {rng.choice(WORDS['how'])} {m[2]}", sentence)
    if rng.random() < 0.2:
        opener = rng.choice(OPENERS)
        sentence = opener + ("" if opener in ("then", "so", "now", "again") else ",") + " " + sentence
    return sentence


def vary(text, teller):
    """The same paragraph in other words: synonyms, adverbs, pronouns and small additions."""
    rng, out, last, quotes = teller.rng, [], None, 0
    beings = {being.name: being for being in teller.beings}
    for sentence in SENTENCE_END.split(text):
        first, _, rest = sentence.partition(" ")
        subject = beings.get(first)
        outside = quotes % 2 == 0 and '"' not in sentence
        quotes += sentence.count('"')
        if subject is None and last is not None and first.lower() == last.he:
            subject, sentence = last, first.lower() + " " + rest
        elif subject is not None and subject is last and outside and rng.random() < 0.6:
            sentence = subject.he + " " + rest
        if subject is not None and outside and out:  # not the introduction
            sentence = decorate(sentence, subject, teller)
        # A pronoun may stand for the last subject only if nobody else was named since.
        others = [name for name in beings if re.search(rf"\b{name}\b", sentence)]
        last = subject if subject is not None and outside and set(others) <= {subject.name} else None
        out.append(sentence)
    text = SPEECH_END.sub(lambda m: m.group() + (" " + rng.choice(WORDS["how"]) if rng.random() < 0.4 else ""),
                          " ".join(out))
    return REPLACEABLE.sub(lambda match: rng.choice(SYNONYMS[match.group()]), text)
