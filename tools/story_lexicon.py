# Word lists and small facts about the world of tools/generate_stories.py.
#
# Words are grouped by what can be said about them (an otter swims, a rope pulls), because a text in
# which later words follow from earlier ones is what makes a language model's context worth having.

GIRLS = """Mia Lena Rosa Ada Ivy Nora Tess Wren Clara Dora Elsa Faye Greta Hana June Kira Luna Maya
Opal Pia Ruth Sana Vera Zoe""".split()
BOYS = """Ben Tom Oscar Leo Max Sam Finn Hugo Ivan Jack Kai Liam Milo Nico Otto Paul Remy Seth Theo
Uri Victor Will Yan Zeke""".split()
ANIMAL_NAMES = """Pip Dot Bram Fern Moss Nib Tuck Hazel Rusty Puddle Bean Clover Thistle Biscuit
Pepper Maple Pebble Cricket Willow Juniper""".split()

# trait -> how it shows
TRAITS = {
    "brave": "was not afraid of anybody", "shy": "spoke in a very low voice",
    "curious": "asked questions all day long", "clever": "knew the answer to every riddle",
    "kind": "helped everyone who needed help", "sleepy": "fell asleep in the strangest places",
    "proud": "liked to look in the mirror", "gentle": "never stepped on a flower",
    "grumpy": "did not smile often", "cheerful": "sang from morning to night",
    "careful": "looked twice before each step", "quiet": "could sit still for hours",
    "noisy": "slammed every door", "patient": "did not mind waiting",
    "hungry": "thought about food all the time", "friendly": "said hello to everyone in the street",
    "stubborn": "did not like to change {A.his} mind", "tidy": "put everything back in its place",
    "honest": "always told the truth", "eager": "wanted to do everything at once",
}
SEASONS = {"sunny": ["spring", "summer"], "rainy": ["spring", "autumn"], "windy": ["spring", "autumn"],
           "snowy": ["winter"], "foggy": ["autumn", "winter"]}
COLOURS = "red blue green yellow purple orange white brown pink silver golden black".split()
SIZES = "big small tiny little long old new shiny soft heavy round pretty strange".split()

SMALL_ACTS = [
    "{A} hummed an old song.", "{A} counted [up to ten|to a hundred|{A.his} fingers].",
    "{A} scratched {A.his} [nose|ear|head].", "{A} ate a piece of [bread|cheese|cake].",
    "A [bell|clock] rang [twice|three times|far away].", "{A} thought of {A.his} [bed|supper|mother|holidays].",
    "Somewhere a [dog barked|door closed|baby cried|child laughed].", "{A} [took a deep breath|rubbed {A.his} eyes].",
    "{A.his} [shoes were|coat was] [full of holes|much too big|new and clean].",
    "A [leaf|drop|fly|feather] fell on {A.his} [head|hand|foot].",
]

# Things a child may own, lose, wish for or give away.
TOYS = """ball kite drum boat hat scarf bell whistle flute mirror button box cup book coin shell
basket blanket doll top wagon ring feather marble spoon puppet mask comb bracelet stone""".split()

# species -> what it is good at (a key of ABILITIES)
SPECIES = {
    "mouse": "small", "hedgehog": "small", "otter": "swim", "duck": "swim", "frog": "swim",
    "squirrel": "climb", "goat": "climb", "crow": "fly", "robin": "fly", "owl": "see", "cat": "see",
    "mole": "dig", "badger": "dig", "dog": "smell", "fox": "smell", "bear": "strong",
    "pony": "strong", "rabbit": "fast", "hare": "fast", "turtle": "slow",
}
# ability -> (said of the animal, problems it solves; each: what went wrong for {C}, how {B} solves it)
ABILITIES = {
    "small": ("was so small that {B.he} could slip through any gap",
              ["{C} was shut inside the shed and the door would not open",
               "{C} was caught in the middle of a thick thorn bush"],
              "{B} crept through a gap [that nobody else could use|no wider than a thumb] and "
              "[set {C} free|showed {C} the way out]"),
    "swim": ("could swim better than anyone",
             ["{C} had fallen into the river and could not reach the bank",
              "{C} was stuck on a rock in the middle of the lake"],
             "{B} jumped into the water, swam [out|quickly] to {C} and "
             "[pulled {C.him} to the bank|brought {C.him} back to dry land]"),
    "climb": ("could climb anything",
              ["{C} was stuck high up in the oak tree",
               "{C} sat on a narrow ledge and was afraid to come down"],
              "{B} climbed up[, step by step,|] and [led {C} down|showed {C} where to put {C.his} feet]"),
    "fly": ("could fly high above the trees",
            ["{C} was lost somewhere in the forest", "{C} had not come home from the hills"],
            "{B} flew [up over the trees|in a wide circle], saw {C} far below and "
            "[led {C.him} home|called to the others where {C.he} was]"),
    "see": ("could see in the dark",
            ["{C} was lost in a dark cave", "{C} had gone into the old tunnel and the lamp had gone out"],
            "{B} walked into the dark, looked around with {B.his} bright eyes and "
            "[found {C} behind a rock|brought {C} out by the hand]"),
    "dig": ("could dig faster than anyone",
            ["{C} was trapped behind a pile of earth", "the roof of the burrow had come down and {C} was inside"],
            "{B} dug [and dug|a tunnel] until [there was a hole|the light came in], and {C} crawled out"),
    "smell": ("could follow any smell",
              ["{C} had walked into the fog and nobody could see {C.him}",
               "{C} was lost and the snow had covered {C.his} tracks"],
              "{B} put {B.his} nose to the ground, followed the smell and "
              "[soon found {C}|did not stop until {B.he} stood next to {C}]"),
    "strong": ("was stronger than all the others",
               ["a heavy stone had rolled in front of the cave and {C} was inside",
                "a tree had fallen and {C} was caught under a branch"],
               "{B} pushed with all {B.his} strength until [it moved|it rolled away], and {C} was free"),
    "fast": ("could run like the wind",
             ["{C} was ill and the doctor lived far away", "{C} had a fever and needed medicine from the next town"],
             "{B} ran [all the way|over the hills] and came back [with help|with the medicine] before dark"),
    "slow": ("was slow but never gave up",
             ["{C} was lost and all the others had stopped looking",
              "{C} was at the end of a long road and too tired to walk"],
             "{B} walked on and on, one step after another, until {B.he} "
             "[found {C}|reached {C} and carried {C.him} home]"),
}

# tool -> (trouble of {C}, what {A} does with the tool)
TOOLS = {
    "rope": ("had fallen into a deep hole", "let down the rope and pulled {C.him} out"),
    "lantern": ("was lost in the dark cave", "lit the lantern and led {C.him} back to the light"),
    "ladder": ("was stuck on a high roof", "put the ladder against the wall and helped {C.him} down"),
    "net": ("had fallen into the deep pond", "held out the net and lifted {C.him} from the water"),
    "umbrella": ("was shaking in the cold rain", "opened the umbrella and held it over {C.him}"),
    "blanket": ("was so cold that {C.he} could not speak", "put the blanket around {C.him} until {C.he} was warm"),
    "map": ("did not know the way home", "opened the map and showed {C.him} the right road"),
    "key": ("was locked in the old tower", "turned the key in the lock and opened the door for {C.him}"),
    "cup": ("was too thirsty to walk", "filled the cup at the stream and gave {C.him} a drink"),
    "whistle": ("could not be seen in the thick fog", "blew the whistle until {C.he} came out of the fog"),
    "needle": ("had torn {C.his} coat on a thorn", "took the needle and some thread and mended it for {C.him}"),
    "axe": ("could not get past a fallen tree", "cut the tree in two with the axe and made a way for {C.him}"),
}

# place -> (preposition, what one may do there, a hiding place there)
PLACES = {
    "pond": ("by", "throw stones into the water", "under a water lily"),
    "forest": ("in", "look for mushrooms", "behind a mossy log"),
    "hill": ("on", "roll down the grass", "under a flat stone"),
    "meadow": ("in", "pick flowers", "in the tall grass"),
    "river": ("by", "watch the fish", "between two wet rocks"),
    "beach": ("on", "build castles", "half under the sand"),
    "barn": ("in", "jump in the hay", "deep in the hay"),
    "orchard": ("in", "climb the apple trees", "at the foot of a tree"),
    "bridge": ("on", "count the boats", "between two boards"),
    "market": ("at", "look at the stalls", "under a table"),
    "mill": ("near", "listen to the big wheel", "behind a sack of flour"),
    "garden": ("in", "chase butterflies", "under a cabbage leaf"),
    "school": ("at", "play tag", "on top of a cupboard"),
    "station": ("at", "wave at the trains", "under a bench"),
    "park": ("in", "ride on the swings", "in a hollow tree"),
    "harbour": ("at", "talk to the sailors", "in an empty barrel"),
}

RELATIVES = ["mother", "father", "grandmother", "grandfather", "aunt", "uncle", "sister", "brother"]
NEIGHBOURS = ["baker", "farmer", "miller", "teacher", "fisherman", "gardener", "doctor", "tailor",
              "carpenter", "shepherd"]

# weather -> (opening remarks, remarks in the middle)
WEATHERS = {
    "sunny": (["the sun was shining", "the sky was clear and blue", "it was warm and bright"],
              ["The sun was hot on {A.his} back.", "Not a cloud was in the sky.", "Bees hummed in the warm air."]),
    "rainy": (["it was raining", "rain fell on the roofs", "the sky was full of grey clouds"],
              ["The rain ran down {A.his} neck.", "There were puddles everywhere.", "Drops fell from every leaf."]),
    "windy": (["the wind was strong", "the wind blew around the house", "the trees were bending in the wind"],
              ["The wind pulled at {A.his} hair.", "Leaves flew through the air.", "The wind howled in the trees."]),
    "snowy": (["snow was falling", "the ground was white with snow", "it was so cold that the pond was frozen"],
              ["The snow was deep and soft.", "{A.his} breath made little clouds.", "Everything was white and still."]),
    "foggy": (["the fog was thick", "a grey fog lay over the fields", "nobody could see far in the fog"],
              ["The fog made every sound strange.", "The trees looked like giants in the fog.",
               "{A} could hardly see {A.his} own feet."]),
}

# dish -> ingredients
RECIPES = {
    "an apple pie": ["apples", "flour", "butter", "sugar"],
    "a carrot soup": ["carrots", "onions", "salt", "cream"],
    "a berry cake": ["berries", "flour", "eggs", "milk"],
    "some honey bread": ["honey", "flour", "milk", "butter"],
    "a pot of jam": ["plums", "sugar", "lemons"],
    "a mushroom stew": ["mushrooms", "onions", "potatoes", "salt"],
    "some pancakes": ["eggs", "milk", "flour", "honey"],
    "a nut cake": ["nuts", "eggs", "sugar", "butter"],
    "a cheese pie": ["cheese", "eggs", "cream", "flour"],
    "a fish soup": ["fish", "potatoes", "cream", "lemons"],
}
# thing to build -> (materials, weather that spoils it, how, what one does with it at the end)
PROJECTS = {
    "a kite": ("paper, string and two sticks", "rainy", "made the paper soft until it tore", "flew it over the hill"),
    "a raft": ("boards, nails and rope", "windy", "drove it against the rocks", "sailed it across the pond"),
    "a tree house": ("boards and nails", "windy", "blew the roof away", "sat in it and watched the birds"),
    "a scarecrow": ("straw, a coat and an old hat", "windy", "carried its hat away", "put it up in the field"),
    "a sand castle": ("sand and shells", "rainy", "washed the towers away", "put a flag on the highest tower"),
    "a birdhouse": ("a box and some nails", "snowy", "broke the lid", "hung it in the apple tree"),
    "a tent": ("sticks and an old sheet", "rainy", "came through the sheet", "slept in it all night"),
    "a snowman": ("snow, a carrot and two buttons", "sunny", "melted his head", "danced around it"),
    "a cart": ("four wheels and a box", "snowy", "broke one of the wheels", "rode it down the hill"),
    "a lamp": ("a jar and a candle", "windy", "blew it out again and again", "hung it over the door"),
}
# what one must not do -> (the reason given, what then happens, how it is put right)
RULES = {
    "climb the old wall": ("the stones are loose", "a stone slipped and {A.he} fell and hurt {A.his} knee",
                           "{R} washed the knee and put a bandage on it"),
    "eat the green apples": ("they are not ripe", "{A.he} had a/an terrible pain in {A.his} belly",
                             "{R} made {A.him} some tea and put {A.him} to bed"),
    "go out without a coat": ("it is cold", "{A.he} began to sneeze and shiver",
                              "{R} gave {A.him} hot soup and a warm blanket"),
    "touch the fence": ("the paint is wet", "{A.his} hands and {A.his} nose were covered with paint",
                        "{R} rubbed the paint off with a wet cloth"),
    "leave the gate open": ("the goats will run away", "all the goats ran out into the road",
                            "they chased the goats until the last one was back"),
    "walk on the ice": ("it is too thin", "the ice broke and {A.he} got wet up to the neck",
                        "{R} pulled {A.him} out and dried {A.him} by the fire"),
    "play with the matches": ("fire is dangerous", "the curtain began to burn",
                              "{R} threw a bucket of water over the flames"),
    "shake the tree": ("there are bees in it", "the bees came out and stung {A.his} arm",
                       "{R} put cold mud on the stings"),
    "pull the cat's tail": ("cats do not like it", "the cat scratched {A.his} hand",
                            "{R} cleaned the scratch and gave the cat some milk"),
    "swing on the lamp": ("it is old and weak", "the lamp fell down with a crash",
                          "they swept up the pieces together"),
}
# fear -> (why, advice, what happens when the advice is followed)
FEARS = {
    "the dark": ("the shadows looked like monsters", "look at the stars, they are little lamps",
                 "{A} looked up and counted the stars, and the shadows were only trees"),
    "thunder": ("it was so loud", "count from the flash to the bang",
                "{A} counted, and each time the storm was farther away"),
    "deep water": ("{A.he} could not see the bottom", "hold my hand and take one small step",
                   "{A} took one step and then another, and soon {A.he} was floating"),
    "the big dog": ("it had such large teeth", "let it smell your hand first",
                    "{A} held out {A.his} hand, and the dog licked it and wagged its tail"),
    "high places": ("{A.his} legs began to shake", "do not look down, look at me",
                    "{A} looked straight ahead and climbed, and the top was not so high at all"),
    "the new school": ("{A.he} did not know anyone there", "say hello to one child first",
                       "{A} said hello to one child, and by noon {A.he} knew them all"),
    "spiders": ("they had so many legs", "watch how it makes its web",
                "{A} watched the spider work, and the web was as fine as lace"),
    "the old clock": ("it sounded like a giant walking", "come and see what is inside",
                      "{A} looked inside and saw only small wheels going round"),
}
# noise -> (where it came from, who made it)
NOISES = {
    "tap, tap, tap": ("on the roof", "a woodpecker looking for worms"),
    "scratch, scratch": ("behind the wall", "a mouse making a nest of wool"),
    "creak, creak": ("at the end of the path", "a gate moving in the wind"),
    "splash, splash": ("in the bucket", "a frog that could not get out"),
    "hoo, hoo": ("in the old tower", "an owl calling to her children"),
    "bump, bump": ("on the stairs", "a ball that rolled down step by step"),
    "rustle, rustle": ("under the leaves", "a hedgehog getting ready for winter"),
    "drip, drip": ("in the cellar", "water falling into an old pan"),
    "squeak, squeak": ("in the barn", "the wheel of a forgotten cart"),
    "buzz, buzz": ("in the cupboard", "a bee that had followed the smell of honey"),
}
# plant -> (what threatens it, what saves it, harvest)
PLANTS = {
    "a pumpkin seed": ("snails", "put a ring of sand around it", "a pumpkin as big as a chair"),
    "a bean": ("birds", "hung a bell over it", "a basket full of beans"),
    "a sunflower seed": ("the wind", "tied it to a stick", "a flower higher than the door"),
    "an apple seed": ("frost", "covered it with straw", "a little tree with one red apple"),
    "a potato": ("beetles", "picked them off one by one", "a sack of fat potatoes"),
    "a strawberry plant": ("a hungry rabbit", "built a little fence", "a bowl of sweet strawberries"),
    "a tulip bulb": ("a mole", "put a stone under it", "a tulip as red as fire"),
    "a carrot seed": ("the dry summer", "watered it each evening", "a row of orange carrots"),
}
