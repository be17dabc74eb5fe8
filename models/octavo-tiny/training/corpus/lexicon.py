"""Word lists that several kinds of text share."""

NAMES = (
    "Mila Tom Anna Leo Nora Finn Ella Max Ida Jonas Lucy Oscar Ruby Hugo Clara Felix Alice Theo Emma Paul Zoe Ben "
    "Lena Sam Eva Noah Iris Adam Rosa Luis Maya Karl Lily Omar Nina Erik Sara Ivan Tess Milo Dora Axel Greta Hans "
    "Lola Remy Vera Otto June Kai Mara Dylan Freya Jack Olga Pia Quinn Rafa Sven Uma Victor Wendy Yara Zeno"
).split()

WOMEN = frozenset(
    "Mila Anna Nora Ella Ida Lucy Ruby Clara Alice Emma Zoe Lena Eva Iris Rosa Maya Lily Nina Sara Tess Dora Greta "
    "Lola Vera June Mara Freya Olga Pia Uma Wendy Yara".split()
)

ANIMALS = (
    "fox bear rabbit owl mouse frog duck cat dog horse sheep goat wolf hedgehog squirrel turtle crow swan badger "
    "otter pig hen lamb deer beaver"
).split()

COLOURS = "red blue green yellow white black brown orange purple grey pink golden silver".split()

OBJECTS = (
    "ball hat book lamp key kite boat cup drum bell coat map ring spoon basket blanket box flute mirror ladder "
    "wagon whistle clock stone feather apple cake candle"
).split()

PLACES = (
    "forest garden village river meadow hill lake farm barn market harbour mountain valley park school library bridge "
    "castle beach mill"
).split()

CITIES = (
    "Paris Rome Berlin Madrid London Oslo Vienna Tokyo Cairo Lisbon Athens Dublin Prague Warsaw Helsinki Boston "
    "Chicago Toronto Sydney Lima Delhi Seoul Zurich Munich Milan Naples Lyon Porto Bergen Krakow"
).split()

SHORT_WORDS = (
    "cat dog sun cup hat pen map box fox car red top net bag bed bus egg ice jam key leg log man nut oak pan pie rat "
    "sea tea van wax zip ant arm bee book door fish frog gold hand king lamp lion milk moon nose rain ring road rock "
    "rose salt ship snow song star tree wall wind wolf wood bird blue cake coat drum duck farm fire flag game gate "
    "goat hill home horn iron kite lake leaf line loaf mill nest park path pear pond pool rope sand seed shoe silk "
    "apple bread chair cloud grass green house light melon mouse night ocean paper plant queen river sheep stone "
    "table tiger train water whale wheel"
).split()


def random_word(rng, low=3, high=6):
    """A word that nobody knows, easy to say: consonants and vowels in turn."""
    letters = []
    for i in range(rng.randint(low, high)):
        letters.append(rng.choice("bcdfghjklmnprstvwz" if i % 2 == 0 else "aeiou"))
    return "".join(letters)
