# The plots of tools/generate_stories.py: each function casts a story and returns its paragraphs.
#
# A plot fixes early what later sentences must agree with (an owner, a colour, the tool in the bag,
# the reason of a rule), so a reader, or a language model, gains from remembering the beginning.
# The template notation is explained in generate_stories.py.
from story_lexicon import (ABILITIES, COLOURS, FEARS, NEIGHBOURS, NOISES, PLANTS, PROJECTS, RECIPES,
                           RELATIVES, RULES, SPECIES, TOOLS)


def lost(t):
    t.being("A"), t.being("B"), t.thing("x"), t.pick("R", RELATIVES)
    first = t.place("p")
    t.place("q", first)
    t.place("r", first, t.words["q"])
    t.add("where", t.rng.choice("pq"))
    t.add("found_at", t.words[t.words["where"] + "_at"])
    t.add("hide", t.words[t.words["where"] + "_hide"])
    return [
        t.say(t.opening(), "[{A}|{A.he}] had a/an {x_full}. [It was a gift from {A.his} {R}.|{A.his} {R} had made it "
              "for {A.him}.|{A} loved it more than anything.|{A} took it everywhere.]"),
        t.say("[First|In the morning] {A} went to the {p} to {p_do}. [Then|After that] {A.he} [walked|ran|went] to "
              "the {q} to {q_do}.", t.aside(), "[When {A} came home|In the evening], the {x} was gone! "
              "[{A} looked under the bed, but it was not there.|{A} began to cry.|{A.he} felt very sad.]"),
        t.say('[{A.his} friend {B} the {B.kind} came by|{A} went to see {B}, a/an {B.trait} {B.kind}]. "[What is '
              'wrong|Why are you sad]?" asked {B}. "I have lost my {x_full}," said {A}. "[Where did you go|Where '
              'were you] today?" asked {B}. "I was {p_at} and {q_at}," said {A}. '
              '"Then we [will|must] look there," said {B}.'),
        t.say("They looked {found_at}[, and there it was:| for a long time. At last {A} found the {x}| and "
              "{B} saw something {x_adj}. It was the {x},] {hide}.", "[{A} jumped for joy.|{A} laughed and "
              "hugged {B}.|{A} held the {x} tight.]", '"Thank you, {B}," said {A}. "[You are a good friend|Now I '
              'will take better care of it]."', "[From that day on, {A} never left the {x} {found_at} again.|Then "
              "they went to the {r} to {r_do} together.|]"),
    ]


def tool_rescue(t):
    t.being("A"), t.being("C")
    tool = t.pick("tool", list(TOOLS))
    other = t.pick("other", list(TOOLS), tool)
    t.add("trouble", TOOLS[tool][0]), t.add("use", TOOLS[tool][1])
    t.pick("N", NEIGHBOURS), t.pick("colour", COLOURS), t.place("p")
    t.add("pair", f"a/an {tool} and a/an {other}" if t.rng.random() < 0.5 else f"a/an {other} and a/an {tool}")
    return [
        t.say(t.opening(), "[{A.he} wanted to [go|walk] to the {p} to {p_do}.|{A.he} was on the way to the {p}.]"),
        t.say('[On the road {A.he} met the {N}|The {N} stopped {A.him} at the door]. "[Take these with you|You may '
              'need these]," said the {N}, and gave {A.him} {pair}. [{A} put them in {A.his} {colour} bag.|{A} '
              "did not know why, but {A.he} said thank you.|]", t.aside()),
        t.say('{p_at}, {A} heard a [voice|cry]. "[Help|Help me|Please help me]!" It was {C}, a/an {C.trait} '
              '{C.kind}, who {trouble}. "[Do not worry|Do not be afraid|Wait]," said {A}. "I have a/an {tool}."',
              "[Then|Quickly|At once] {A} {use}.",
              "[The {other} stayed in the bag.|]"),
        t.say('[{C} smiled.|{C} was so happy that {C.he} danced.|{C} gave {A} a hug.] "[Thank you|You saved me], '
              '{A}," said {C}.', "[They went on to the {p} together.|{A} and {C} became best friends.|In the "
              "evening {A} told the {N} all about it.]", '["It was a good thing that you gave me the {tool}," '
              '{A.he} said to the {N}.|]'),
    ]


def ability_rescue(t):
    kinds = list(SPECIES)
    t.being("B", t.rng.choice(kinds)), t.being("C"), t.being("A", t.rng.choice(kinds))
    ability, problems, solution = ABILITIES[SPECIES[t.words["B"].kind]]
    t.add("ability", ability), t.pick("problem", problems), t.add("solution", solution), t.place("p")
    return [
        t.say(t.opening(), "{A.he} had a friend, {B} the {B.kind}. {B} {ability}. [{A} often laughed at {B}.|{A} "
              'did not think much of that.|"What is that good for?" {A} used to say.]'),
        t.say("One [evening|night|day] there was bad news {p_at}: {problem}.", t.aside(),
              "[Everyone was afraid.|Nobody knew what to do.|{A} ran in circles and shouted.]",
              '"[I can help|Let me try]," said {B}.'),
        t.say("{solution}.", '["{B} is a hero!" they all cried.|Everyone cheered.|{C} thanked {B} again and again.]',
              '[{A} was ashamed. "I am sorry that I laughed, {B}," {A.he} said.|"I was wrong," said {A}. "You are '
              'the best {B.kind} I know."]', "[After that, {A} never laughed at anyone.|{B} only smiled.|Since then "
              "{A} and {B} have gone everywhere together.]"),
    ]


def quarrel(t):
    t.being("A"), t.being("B"), t.thing("x"), t.place("p"), t.pick("R", RELATIVES)
    return [
        t.say(t.opening(), "{A} and {B} the {B.kind} [liked to play|went] {p_at}. There they found a/an {x_full}."),
        t.say('"It is mine!" cried {A}. "[No, it is mine|I saw it first]!" shouted {B}. {A} pulled at one [side|end] '
              'and {B} pulled at the other. [Crack! The {x} broke in two.|Both of them fell into the mud.|The '
              '{x} flew through the air and fell into a bush.]', t.aside()),
        t.say("[{A} and {B} looked at each other.|For a long time nobody spoke.|{B} began to cry.]",
              '[{A.his} {R} had seen it all. "A {x} is more fun with two," {A.his} {R} said.|"I am sorry," said {A}. '
              '"[We can|Let us] share it."|"You may have it," said {B}. "No, you take it," said {A}.]'),
        t.say("[So|In the end] they [fetched the {x}|made the {x} clean again|mended the {x}] and shared it: {A} had "
              "it [in the morning|on Monday|for one hour] and {B} [in the afternoon|on Tuesday|for the next].",
              "[They never quarrelled about it again.|It was the best {x} in the world.|Sharing was much better "
              "than fighting.]"),
    ]


def gift(t):
    t.being("A"), t.being("B")
    first = t.thing("x")
    second = t.thing("y", first)
    t.thing("z", first, second), t.pick("c", COLOURS), t.pick("N", NEIGHBOURS)
    t.add("d", t.rng.choice([c for c in COLOURS if c != t.words["c"]]))
    return [
        t.say(t.opening(), "It was the birthday of {B} the {B.kind}. {B} loved everything that was {c}. {A} wanted "
              "to give {B.him} [a nice gift|something special]."),
        t.say('{A} went to the shop of the {N}. "I have a/an {d} {x}, a/an {c} {y} and a/an {d} {z}," said the {N}.',
              "[{A} thought for a while.|{A} looked at them all.|]", '"{B} loves {c} things," said {A}. "I will '
              'take the {y}."', "[It cost all {A.his} money.|The {N} put it in a box.|]", t.aside()),
        t.say("[At the party|In the afternoon] {B} opened the box.",
              '"A/an {c} {y}!" {B.he} cried. "[How did you know?|It is just what I wanted!]"',
              "[{B} played with the {y} all day.|{B} hugged {A}.|{B} showed the {y} to everyone.]",
              "[They ate cake and sang songs.|{A} was as happy as {B}.|To give was as nice as to get, thought {A}.]"),
    ]


def rule(t):
    t.being("A")
    t.pick("deed", list(RULES)), t.pick("R", RELATIVES[:4])
    reason, result, repair = RULES[t.words["deed"]]
    t.add("reason", reason), t.add("result", result), t.add("repair", repair.replace("{R}", "{A.his} {R}"))
    return [
        t.say(t.opening(), '"Do not {deed}," said {A.his} {R}. "[Remember that {reason}|You know that {reason}]." '
              '"[Yes|I will not do it]," said {A}.'),
        t.say("But [when {A} was alone|soon], {A.he} [forgot about it|thought that it could do no harm|did it "
              "anyway].", t.aside(), "[At first it was fun.|For a moment nothing happened.|] Then {result}. "
              '"[Ow|Oh no|Help]!" cried {A}.'),
        t.say("{A.his} {R} came running. [Nobody shouted.|{A} was ashamed.|] First {repair}.",
              '"I am sorry," said {A}. "You told me not to {deed}." "[Now you know why|And now you know that '
              '{reason}]," said {A.his} {R}.',
              "[{A} never did it again.|The next day {A} told the other children not to {deed}.|"
              "After that {A} listened [carefully|better].]"),
    ]


def cook(t):
    t.being("A"), t.being("B"), t.pick("dish", list(RECIPES)), t.pick("N", NEIGHBOURS)
    items = list(RECIPES[t.words["dish"]])
    t.rng.shuffle(items)
    t.add("missing", items[0]), t.add("rest", " and ".join([", ".join(items[1:-1]), items[-1]]) if len(items) > 2
                                      else items[1])
    t.pick("favour", ["sweep the floor", "carry the wood", "feed the hens", "find my glasses", "wash the pots",
                      "hold the ladder", "bring this letter to the school"])
    return [
        t.say(t.opening(), "[{A}|{A.he}] [wanted|had promised] to make {dish} for {B} the {B.kind}[, who was "
              "ill|, who was coming to visit|]. {A.he} had {rest}, but {A.he} had no {missing}."),
        t.say('{A} went to the {N}. "[Do you have some|May I have some] {missing}?" {A.he} asked. "[Yes|Of course], '
              'if you {favour} [first|for me]," said the {N}.', "So {A} [worked hard|helped] [until noon|for an "
              "hour|as well as {A.he} could], and the {N} gave {A.him} the {missing}.", t.aside()),
        t.say("[At home|Back in the kitchen] {A} [mixed|stirred] the {missing} with the {rest}. [The whole house "
              "smelled good.|Soon it was ready.|]", '{B} [ate three plates|ate it all up|tasted it]. "[This is '
              'the best food in the world|It is wonderful|I feel much better now]!" said {B}.',
              "[They saved a piece for the {N}.|Then they washed the pots together.|And there was still some left "
              "for the {N}, who had given the {missing}.]"),
    ]


def build(t):
    t.being("A"), t.being("B"), t.pick("work", list(PROJECTS)), t.pick("R", RELATIVES)
    materials, weather, damage, joy = PROJECTS[t.words["work"]]
    t.add("materials", materials), t.add("damage", damage), t.add("joy", joy)
    t.add("weather", "snowy" if t.words["work"] == "a snowman" else "sunny")
    t.add("force", {"rainy": "the rain", "windy": "the wind", "snowy": "the frost", "sunny": "the sun"}[weather])
    return [
        t.say(t.opening(), "[{A}|{A.he}] [wanted to|had always wanted to|had decided to] build {work}. [{A.he} "
              "took|{A.he} found|{A.his} {R} gave {A.him}] "
              "{materials}[, and {A.he} began to work|. Then {A.he} began to work]."),
        t.say("[When it was nearly done|On the second day|In the night], {force} came and {damage}. "
              '[{A} was angry and kicked the ground.|"All my work!" cried {A}.|{A} wanted to give up.]',
              'But {B} the {B.kind} said, "[Try again|We can do it again]. I will help you[ this time|]."'),
        t.say("So they [started again|went to work]. {A} held the pieces and {B} put them together. [This time they "
              "did it well.|It took them all day.|They made it twice as strong.]", "Then {force} came back, but it "
              "could do nothing. {A} and {B} {joy}.", "[Two pairs of hands are better than one.|{A} was glad that "
              '{A.he} had not given up.|"Tomorrow we will build another," said {B}.]'),
    ]


def fear(t):
    t.being("A"), t.being("B"), t.pick("fear", list(FEARS)), t.place("p")
    why, advice, result = FEARS[t.words["fear"]]
    t.add("why", why), t.add("advice", advice), t.add("result", result)
    return [
        t.say(t.opening(), "[{A}|{A.he}] was [very |]afraid of {fear}, because {why}. [When the others went to "
              "the {p} to {p_do}, {A} stayed at home.|"
              "{A} told nobody about it.|The other children laughed at {A.him}.]"),
        t.say('One [day|evening] {B}, a/an {B.trait} {B.kind}, [found|saw] {A} {p_at}. "Why do you [hide|shake]?" '
              'asked {B}. "I am afraid of {fear}," [whispered|said] {A}. "[I was afraid once, too|That is not so '
              'bad]," said {B}. "[Just|Next time,] {advice}."', t.aside()),
        t.say("{result}.", '["It works!" cried {A}.|{A} laughed.|{A.his} heart was not beating so fast now.]',
              "[Since that [day|evening] {A} has not been afraid of {fear}.|{A} was still a little afraid, but "
              "{A.he} was brave as well.|Now {A} helps others who are afraid of {fear}.]"),
    ]


def noise(t):
    t.being("A"), t.being("B"), t.pick("noise", list(NOISES)), t.pick("R", RELATIVES), t.pick("c", COLOURS)
    t.add("from", NOISES[t.words["noise"]][0]), t.add("maker", NOISES[t.words["noise"]][1])
    t.pick("guess", ["a ghost", "a thief", "a dragon", "a witch", "a giant", "a wolf"])
    return [
        t.say(t.opening(), 'That night {A.he} heard something {from}. "{noise}," it went. {A} [sat up in bed|could '
              'not sleep|held {A.his} breath]. "It is {guess}!" [thought|whispered] {A}.'),
        t.say('{A} woke {B}[, who slept in the next room|]. "Do you hear it? {noise}!" "[Yes|I hear it]," said {B}. '
              '"[Let us go and look|Maybe we should look]." {A} took a/an {c} candle[ and {B} took a broom|], and '
              "they [went|crept] out on their toes.", t.aside()),
        t.say("The noise {from} grew [louder|louder and louder]. [{A} wanted to run away.|{B} held {A.his} hand.|] "
              "Then they saw it: it was {maker}!", '"[That is not|So there was never] {guess}," said {B}, and they '
              "both laughed.", "[In the morning they told {A.his} {R}.|They went back to bed and slept until late.|"
              'When {A} hears "{noise}" now, {A.he} only smiles.]'),
    ]


def race(t):
    t.being("A", t.rng.choice(list(SPECIES))), t.being("B", t.rng.choice(list(SPECIES)))
    first = t.place("p")
    t.place("q", first), t.thing("x")
    t.pick("stop", ["to eat some berries", "to sleep under a tree", "to look at {A.himself} in a puddle",
                    "to tell everyone how fast {A.he} was", "to catch a butterfly"])
    return [
        t.say(t.opening(), '{A} said to {B} the {B.kind}, "I am faster than you. Let us run from the {p} to '
              'the {q}." "[Very well|Good]," said {B}. "Who wins shall have this {x_full}."'),
        t.say("They started {p_at}. {A} was soon far ahead. [There was plenty of time, so|Then] {A.he} stopped {stop}.",
              t.aside(), "{B} [did not stop|kept going|went on and on], [one step after another|without looking "
              "left or right|until {B.he} could see the {q}]."),
        t.say("[When {A} remembered the race,|At last {A} ran on, but] it was too late. {B} already stood {q_at}.",
              "[{A} was angry at first, but then {A.he} shook {B.his} hand.|{A} had to laugh at {A.himself}.|"
              '"You have won," said {A}.]', "{B} got the {x_full}[, and {A} was allowed to play with it, too|]. "
              "[It is not enough to be fast.|Whoever keeps going will get there.|]"),
    ]


def grow(t):
    t.being("A"), t.being("B"), t.pick("seed", list(PLANTS)), t.pick("R", RELATIVES)
    danger, rescue, harvest = PLANTS[t.words["seed"]]
    t.add("danger", danger), t.add("rescue", rescue), t.add("harvest", harvest)
    return [
        t.say(t.opening(), "{A.his} {R} gave {A.him} {seed}. {A} put it in the ground and [gave it water|waited|sang "
              'to it]. "When will it grow?" {A.he} asked [every day|each morning]. "[You must wait|Wait a '
              'little]," said {A.his} {R}.'),
        t.say("[After a week|After many days|One morning] there was a green leaf. But soon there came {danger}! "
              '[{A} did not know what to do.|"My poor plant!" cried {A}.|]', "{B} the {B.kind} knew [what to do|a "
              "trick]. Together they {rescue}.", t.aside(0.2)),
        t.say("[The weeks went by|Time passed], and the plant grew and grew. In the end {A} had {harvest}. [{A} gave "
              "half of it to {B}.|{A} showed it to {A.his} {R}.|Everyone came to look.]", '"[I waited so long|It '
              'was worth the wait]," said {A}. "And [you helped me|we did it together], {B}."'),
    ]


def trade(t):
    t.being("A"), t.pick("N", NEIGHBOURS)
    t.pick("M", NEIGHBOURS, t.words["N"])
    first = t.thing("x")
    second = t.thing("y", first)
    t.thing("z", first, second), t.place("p")
    return [
        t.say(t.opening(), "{A.he} wanted a/an {x}, but {A.he} had only a/an {z_full}."),
        t.say('{A} went to the {N}. "I will give you a/an {x} if you bring me a/an {y}," said the {N}. So {A} '
              '[went|walked|ran] to the {M}. "[You can have my {y}|I have a/an {y_full}]," said the {M}. "But [I need '
              'a/an {z}|you must give me a/an {z}]."', t.aside()),
        t.say('"[Here is my {z}|Take my {z_full}]!" said {A}. [The {M} was pleased and|So the {M} took it and] gave '
              "{A.him} the {y}. {A} [carried|brought] the {y} to the {N}, and the {N} gave {A.him} the {x}.",
              "[{A} took the {x} to the {p} to {p_do}.|Now everyone had what they wanted.|How {A} laughed! The {z} had "
              "become a/an {y}, and the {y} had become a/an {x}.]"),
    ]


def journey(t):
    """Stations on a road; the last host has what was wished for, and the end recalls them all."""
    t.being("A"), t.pick("R", RELATIVES)
    t.add("wish", t.say("a/an [{*adj}|{*colour}] {*thing}"))
    hosts = [t.say("{*animal}"), t.say("{*person}"), t.say("[{*animal}|{*person}]")]
    steps = []
    for host in hosts:
        t.add("h", host), t.add("g", t.say("[{*adj}|{*colour}] {*thing}"))
        steps.append(t.say(
            "{*place}, {A} [met|saw|came to] a/an [{*adj}|{*colour}] {h}.",
            '"[Where are you going|What do you want|Who are you|Why are you here|Can you help me]?" asked the {h}.',
            "[{A} [sat down|told the {h} everything|sang a song|gave the {h} some {*food}|helped the {h}].|"
            "They ate {*food} and {*food}.|It was {*feel}, because a/an {*animal} {*did}.]",
            '[The {h} gave {A.him} a/an {g}.|"I [once had|will give you|found] a/an {g}," said the {h}.|'
            "But the {h} only {*did}.]"))
        t.add("last", host)
    return [
        t.say(t.opening(), "{A} wanted {wish}, because {A.his} {*family} {*did}.",
              '"[Go and look {*place}|Ask the {*person}|Then you must travel far]," said {A.his} {R}.'),
        *steps,
        t.say("[At last|After {*number} days] the {last} showed {A} {wish}, {*place}.",
              "[{A} took it home.|{A} did not want it any more.|It was {*adj} and {*adj}.]", t.aside(),
              "[{A.his} {R} was {*feel}.|{A} told {A.his} {R} about the " + " and the ".join(hosts) + ".]"),
    ]


def dream(t):
    """Scenes of a dream, which are asked about in the morning."""
    t.being("A"), t.being("B"), t.pick("R", RELATIVES)
    t.add("who", t.say("[{*animal}|{*person}]")), t.add("where", t.say("{*place}"))
    t.add("first", t.say("[{*adj}|{*colour}]")), t.add("held", t.say("[{*adj}|{*colour}] {*thing}"))
    return [
        t.say(t.opening(), t.aside(), "That night {A.he} had a dream."),
        t.say("In the dream a/an {first} {who} stood {where} and held a/an {held}.",
              '"[I am|Once I was] a/an {*person}, and I can {*can}," [it said.|said the {who}.]', t.aside(),
              '"Bring me some {*food}, or I will {*can}!"',
              "Then [a/an {*adj} {*animal} {*did}|the {who} {*did}|{*number} {*colour} [birds|boats|horses] came], "
              "and {A} woke up."),
        t.say('"What did you dream?" asked {B} the {B.kind}. "I saw a/an {first} {who} {where}," said {A}.',
              '"It held a/an {held}."', '"[How strange|I had the same dream|Dreams are like that|I would be afraid]," '
              "said {B}.", t.aside(), "[Later they really found a/an {held} {where}.|{B} {*did}, and {A} {*did}.|"
              "But {A.his} {R} only laughed at the {who}.]"),
    ]


# The two freest plots count three times.
PLOTS = [lost, tool_rescue, ability_rescue, quarrel, gift, rule, cook, build, fear, noise, race, grow, trade,
         journey, journey, journey, dream, dream, dream]
