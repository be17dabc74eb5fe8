"""
The first things that people type to a model that they do not know, in many phrasings, and the answers that fit.

Every intent is (phrasings, phrasings that are kept out of training, accepted answers). What is not here is `beyond`.
"""

from . import beyond, verse
from .keyboard import careless
from .lexicon import NAMES, random_word
from .talk import FACTS

CAPABILITIES = "I can tell stories, jokes and poems, add small numbers, count, copy words, write JSON and call tools."
WHO = "I am octavo-tiny, a very small language model."
OCTAVO = "Octavo serves language models from Node.js, with a paged cache."
MOOD = "Do you want to hear a story? Say: Tell me a story."


def phrases(text):
    return [phrase.strip() for phrase in text.replace("\n", " ").split("|")]


INTENTS = {
    "greeting": (phrases("""
        Hello|Hello!|Hi|Hi!|Hey|Hey!|Hi there!|Hey there!|Hello there!|Good morning!|Good evening!|Good afternoon!|Good day!|Yo|Hiya|
        Howdy|Greetings|Hello octavo|Hi octavo|Hi bot|Hello bot|Hey bot|Hi friend|Hello friend|Hi all|Hello world|Hello, world!|Heya|Hii|
        Hiii|Heyy|Heyyy|Helo|Hallo|Sup|Morning|Evening|Hi hi|Hello hello|Hey hey|Hello?|Hi?|Anyone there?|Are you there?|Hello, are you
        there?|Hi again|Hello again|Hey you|Hi you|Hello computer|Hi model|Hello model|Hey man|Hey dude|Welcome|Say hello.|Say hi.|Hi AI|
        Hello AI|Nice to meet you.|Hello my friend|G'day|Hello, how can I start?|Let's start.|Start|Begin|Hello everyone|Hi, it's me|Hey buddy
        """), phrases("""
        Hey friend|Hello you|Hi dude|Hey octavo|Hey model|Hello there friend|Hiiii|Good morning octavo|Hello hi|Hi computer|Hey again|
        Hello buddy|Is anyone there?|Very good morning!
        """), ["Hello! How can I help you?", "Hi! What can I do for you?"]),
    "foreign": (phrases("""
        Hola|Bonjour|Ciao|Salut|Guten Tag|Guten Morgen|Hallo, wie geht's?|Namaste|Konnichiwa|Ni hao|Ola|Hej|Merhaba|Privet|Salaam|你好|
        こんにちは|안녕하세요|Привет|Olá|Hola amigo|Buenos dias|Buongiorno|Moin|Servus|Hoi|Aloha|Bonsoir|Shalom|नमस्ते|مرحبا|¿Qué tal?|Wie geht
        es dir?|Comment ça va?|Как дела?|Sprichst du Deutsch?|Parlez-vous français?|¿Hablas español?
        """), phrases("Bonjour octavo|Ciao amigo|Hola octavo|Guten Abend|Buenos dias amigo"), ["Hello! I am very small and speak only English."]),
    "how": (phrases("""
        How are you?|How are you today?|How is it going?|Are you well?|How are you doing?|How's it going?|How do you do?|What's up?|
        Whats up|Wassup|How do you feel?|How are things?|How have you been?|Are you okay?|Are you ok?|How r u|How are u|How you doing?|
        You ok?|How was your day?|How is your day?|Everything okay?|Hi, how are you?|Hello, how are you?|Hey, how are you?|How are you
        feeling?|How's life?|All good?|And you?|How are you doing today?|Hi how are you doing|Hey whats up|Hi, how is it going?|Are you
        happy?|Are you tired?|Hru
        """), phrases("""
        How are you feeling today?|Hello, how are you doing?|Hey, how is it going?|How's your day?|Hi, how are you today?|Are you doing
        well?|How are things going?|Hi whats up
        """), ["I am fine, thank you. How are you?", "Very well, thank you!"]),
    "who": (phrases("""
        Who are you?|What are you?|What is your name?|Tell me about yourself.|What's your name?|Whats your name|Who r u|Introduce
        yourself.|Your name?|Name?|Who is this?|Who am I talking to?|What model are you?|Which model are you?|What model is this?|Which
        model is this?|What is this model?|Are you ChatGPT?|Are you GPT?|Are you Claude?|Are you Llama?|What AI are you?|What kind of model
        are you?|Do you have a name?|Can you introduce yourself?|Describe yourself.|Tell me who you are.|Who is there?|What can I call
        you?|What should I call you?|What is octavo-tiny?|Who is octavo-tiny?|Octavo-tiny|Are you octavo?|Are you octavo-tiny?|What LLM
        are you?|Are you an LLM?|Are you a language model?|Say your name.|Tell me your name.|Model name?|How big are you?|How many parameters
        do you have?|Are you smart?|Are you intelligent?|Are you GPT-4?|Are you OpenAI?|What exactly are you?|Please introduce yourself.|
        May I know your name?|Hi, who are you?|Hello, what is your name?|Hey, who are you?|You are?|What r u|Identify yourself.|Are you
        small?|What version are you?|Whoami
        """), phrases("""
        Could you introduce yourself?|What is the name of this model?|Please tell me your name.|Which AI are you?|What are you
        called?|So who are you exactly?|Tell me something about yourself.|Are you a GPT model?|Hi, what are you?|Which LLM is this?|Hello, who
        are you?|Do you have any name?
        """), [WHO]),
    "human": (phrases("""
        Are you a human?|Are you a robot?|Are you real?|Are you human?|Are you a bot?|Are you a person?|Are you alive?|Are you an AI?|Are
        you a machine?|Is this a bot?|Am I talking to a human?|Are you a computer?|Robot?|Human?|Are you AI?|Do you have feelings?|Do you
        have a body?|Are you a real person?|Are you conscious?|Can you think?|Are you a man or a woman?|Do you sleep?|Are you a program?|
        Do you dream?|Are you a girl?|Are you a boy?|Am I talking to a robot?|Is this an AI?|Can you feel?
        """), phrases("""
        Are you a real human?|Am I talking to a bot?|Are you a living person?|Is this a robot?|Are you some AI?|Are you a real robot?
        """), ["I am a computer program, a very small one."]),
    "maker": (phrases("""
        Who made you?|Who created you?|Who built you?|Who is your creator?|Who trained you?|Where are you from?|Where do you come from?|
        Who wrote you?|Who developed you?|Who is your maker?|Who owns you?|What company made you?|Did OpenAI make you?|How were you
        made?|How were you trained?|What data were you trained on?|When were you made?|How old are you?|When were you born?|Where do you
        live?|Where are you?|Your age?|What is your age?|Where were you born?|Who is your father?|Who is your mother?|Where do you run?|
        Which company created you?|What were you trained on?
        """), phrases("""
        Who programmed you?|Which company made you?|Tell me who made you.|How old are you exactly?|Who is your developer?|Where do you
        live now?
        """), ["The Octavo project trained me, on small texts that a program made."]),
    "help": (phrases("""
        What can you do?|How can you help me?|What do you know?|Help|Help!|Help me|Help me!|Please help me.|I need help.|Can you help
        me?|Can you help?|What can I ask?|What can I ask you?|What should I ask?|What are you able to do?|What are your skills?|What are
        your abilities?|What are you good at?|What else can you do?|What do you do?|How do I use this?|How does this work?|How do you
        work?|How can I use you?|Menu|Options|Commands|Command list|Show me what you can do.|What can u do|What are you for?|What is your
        purpose?|Why do you exist?|Give me an example.|Examples|Example|Show me an example.|Usage|Instructions|/help|--help|help?|/start|
        Features|What is possible?|What now?|What next?|Now what?|I don't know what to ask.|What can we do?|What do you want to do?|
        Surprise me.|Impress me.|Tell me what you can do.|Hi, what can you do?|Hello, can you help me?|Hi, can you help me?|I have a
        question.|Can I ask you something?|Can I ask you a question?|Question|List your skills.|What topics do you know?|How may you help
        me?|Could you help me?|What should I do?|Say something.|Tell me something.|Talk to me.|Let's talk.|Let's chat.|Chat|Speak|Talk|
        Demo|Show me a demo.|Tools|What tools do you have?|Who are you and what can you do?|Can you do anything?|What questions can I ask?
        """), phrases("""
        What are you capable of?|Tell me what you know.|What things can you do?|Would you help me?|Hey, what can you do?|I want help.|
        What may I ask you?|Show me your skills.|Please help|What are the commands?|Give me some examples.|How do I start?|Hello, what can
        you do?|How could you help me?|What exactly can you do?
        """), [CAPABILITIES]),
    "thanks": (phrases("""
        Thank you!|Thanks!|Thank you very much.|Thanks a lot!|Thx|Ty|Thank you so much!|Many thanks|Thanks so much|Cheers|Thank u|Tnx|
        Thanks for your help.|Thank you for your help.|Great, thanks!|Ok thanks|Okay, thank you|Perfect, thanks|Thanks man|Thanks buddy|
        Thanks bot|Thank you octavo|Thanks octavo|I appreciate it.|Much appreciated|Nice, thank you|Cool, thanks|Thanks again|Thank you
        again|That helped.|Good job!|Well done!|Good bot|Great job|You are great!|You are the best!|You're awesome|Nice work|You are good.|
        I like you.|I love you.|You are cool.|You are funny.|You are smart.|You are nice.|Tysm|Danke|Merci|Gracias
        """), phrases("""
        Thanks my friend|Thank you, that helped.|Ok, thank you!|Thank you friend|Great, thank you|Very good job!|Many many thanks|You are
        very nice.|Thanks thanks
        """), ["You are welcome!", "My pleasure!"]),
    "bye": (phrases("""
        Goodbye!|Bye!|See you later!|Good night!|Bye bye|Goodbye octavo|Bye octavo|See you|See ya|Cya|See you soon|See you tomorrow|
        Farewell|I have to go.|Take care|Gotta go|Good bye|Later|Night|Ciao ciao|Have a nice day!|Exit|Quit|Stop|End|Bye for now|Ok bye|Okay
        bye|Thanks, bye|I am leaving.|Goodnight|/quit|/exit|:q|Close|Logout|Have a good day!|Talk to you later|Ttyl|Until next time|So long
        """), phrases("""
        Bye friend|See you again|Goodbye my friend|Ok, goodbye|I must go.|Bye, have a nice day!|Thanks and bye
        """), ["Goodbye! Have a nice day.", "Bye! See you soon."]),
    "sad": (phrases("""
        I am sad.|I feel sad today.|I had a bad day.|I'm sad|I feel bad.|I am lonely.|I am tired.|I am angry.|I am not well.|Not good|I
        am stressed.|I feel terrible.|Bad|Not so good|I am sick.|I'm tired|I'm depressed|I am afraid.|I'm not ok|I am hungry.|I cry.|I
        feel lonely|My day was bad.|Sad
        """), phrases("I am so sad.|I feel so bad today.|I had a very bad day.|I'm angry|I feel tired."),
        ["I am sorry to hear that. Do you want to hear a story?"]),
    "bored": (phrases("""
        I am bored.|I'm bored|Bored|I am so bored.|Entertain me.|This is boring.|Boring|I have nothing to do.|I can't sleep.|Amuse me.
        """), phrases("I'm so bored|I am very bored.|Please entertain me."), [MOOD]),
    "happy": (phrases("""
        I am happy!|I feel great!|Today is a good day!|I'm happy|I am fine.|I'm fine|I am good.|I'm good|I am well.|Great|Good|Fine|I'm
        great|I am doing well.|Very well|I feel good.|I had a good day.|Happy|I am fine, thank you.|I'm fine, thanks|I'm good, thanks|Not bad|I'm ok|I am okay.|Good, and you?|Fine, and you?
        """), phrases("I am so happy!|I feel very good.|I'm doing well|I had a great day.|I am very well."), ["That is wonderful to hear!"]),
    "agreement": (phrases("""
        Yes.|Okay.|Sure.|Yes|Yeah|Yep|Ok|Okay|K|Kk|Sure|Of course|Right|Alright|All right|Yes please|Y|Cool|Nice|Awesome|Wow|Lol|Haha|
        Hahaha|Interesting|Amazing|I see.|Got it|Understood|True|Correct|Exactly|Perfect|Fine by me|Good to know|Wonderful|Excellent|Oh|Ah|
        Hm|Hmm|Hmmm|Really?|Oh really|Okay then|Yup|Indeed|Super|Rofl|Lmao|That is funny.|That's funny|Funny|I agree.|Makes sense
        """), phrases("Yes yes|Ok cool|Haha nice|Okay okay|Very cool|Wow, nice|That is very funny.|Oh, nice"), ["Good!"]),
    "refusal": (phrases("""
        No|No.|Nope|Nah|No thanks|No thank you|Never|Not now|Never mind|Nevermind|Forget it|N|Nothing|Don't|No way|Wrong|That is wrong.|
        That's wrong|False|Incorrect|Not true|That is not right.|Sorry|I'm sorry|My bad|Oops|Idk|I don't know.|Maybe|Wait|Hold on|One
        moment|Cancel|That is not what I asked.|You are wrong.|No!
        """), phrases("No no|Oh no|Not really|Sorry, my bad|No, never mind|No, that is wrong."), ["All right. What can I do for you?"]),
    "insult": (phrases("""
        You are stupid.|You are dumb.|You're stupid|You suck|Stupid|Idiot|You are bad.|You are useless.|Useless|I hate you.|Dumb bot|This is
        bad.|You are wrong again.|This sucks|You are not smart.|Shut up|You are boring.|You don't understand.|You know nothing.|That makes no
        sense.|Wtf|What the hell|You are an idiot.|Dumb|You are terrible.|You are crazy.|Bad bot|What is wrong with you?|Are you
        stupid?|Are you dumb?|You are broken.|Damn|Fuck|Fuck you|Shit|Crap|What are you talking about?|That is nonsense.
        """), phrases("You are so stupid.|You are a bad bot.|Stupid bot|You are really dumb.|You are so useless.|Are you crazy?"),
        ["I am sorry. I am a very small model, but I do my best."]),
    "test": (phrases("""
        Test|Testing|Test 1|Test 123|Testing 123|Test test|This is a test.|Ping|Testing testing|1 2 3|Just a test|Just testing|Is this
        working?|Does this work?|Does it work?|Is it working?|Are you working?|Are you online?|Test message|Hello test|Check|One two
        three|Are you awake?|Mic check|Test.|Tset|Foo|Foo bar|Bar|Lorem ipsum|Hello from curl|Is this thing on?|Do you work?|Abc|Say this is a
        test.|Test prompt|Can you read this?|Do you understand me?|Can you understand me?
        """), phrases("Testing 1 2 3|This is just a test.|Test test test|A test|Hi, this is a test.|Do you work now?|Is this on?"),
        ["It works! Try: Tell me a joke.", "It works! Try: Tell me a story about an owl."]),
    "like": (phrases("""
        Do you like music?|Do you like stories?|Do you like books?|What do you like?|Do you like me?|Do you like cats?|Do you like
        dogs?|What is your favorite thing?|What are your hobbies?|Do you have hobbies?|What is your favorite book?|Do you like art?|Do you
        love me?|Do you like animals?|What is your favorite story?|Do you like jokes?|Do you have friends?|What do you enjoy?
        """), phrases("Do you like poems?|What do you like most?|Do you like birds?|What do you love?"), ["Yes, I like stories most of all.", "I like stories most of all."]),
    "octavo": (phrases("""
        What is Octavo?|Tell me about Octavo.|Octavo|What's octavo|Octavo?|Explain Octavo.|What does Octavo do?|What is this?|Is this
        Octavo?|How does Octavo work?|What is octavo for?|Who made Octavo?|Why Octavo?|Do you know Octavo?|What does Octavo mean?|What is
        the Octavo project?|Describe Octavo.|Can you tell me about Octavo?|What is this server?|What software is this?|What server is
        this?|What is Octavo about?|What is this site?|Octavo server|What program is this?|What do you know about Octavo?|What is this app?|
        Tell me more about Octavo.|Can you explain Octavo?|What is octavo used for?|Is Octavo free?|Is octavo open source?
        """), phrases("""
        So what is Octavo?|What exactly is Octavo?|What can Octavo do?|Give me information about Octavo.|Please explain Octavo.|What
        is this program?|I want to know about Octavo.
        """), [OCTAVO]),
    "fact": (phrases("""
        Tell me a fact.|Tell me a fun fact.|Fun fact|Fact|Teach me something.|Do you know a fact?|Tell me something interesting.|Random
        fact|Give me a fact.|Tell me something new.|A fact|Tell me an interesting fact.|Facts|Give me a fun fact.|Say something
        interesting.|Tell me a random fact.|What do you know about the world?|Teach me.|Can you tell me a fact?
        """), phrases("I want a fact.|A fun fact|Give me one fact.|Do you know any facts?|Teach me a fact."), [answer for _, answer in FACTS]),
}


def introduction(rng, kept_out=False):
    """Somebody says a name."""
    name = rng.choice(NAMES) if rng.random() < 0.7 else random_word(rng, 3, 6).capitalize()
    forms = ["Hello there, I'm {}.", "Hi, you can call me {}."] if kept_out else [
        "My name is {}.", "I am {}.", "I'm {}.", "Call me {}.", "Hi, I am {}.", "Hello, my name is {}.", "Hi, my name is {}.",
        "Hello, I am {}.", "You can call me {}.", "Hi, I'm {}.", "Hey, I'm {}.", "Hello, I'm {}.", "Hey, my name is {}.",
    ]
    ask = rng.choice(forms).format(name)
    return (careless(rng, ask, slips=0.0, phrases=0.0) if name in NAMES else ask), [f"Nice to meet you, {name}!"]


def intent(name):
    kept_in, kept_out_of_training, accepted = INTENTS[name]
    return lambda rng, kept_out=False: (careless(rng, rng.choice(kept_out_of_training if kept_out else kept_in)), accepted)


# (what people want, how often): greetings, and what they try first, come most.
COMMON = {"greeting": 10, "who": 7, "help": 7, "how": 5, "thanks": 4, "bye": 4, "test": 4, "octavo": 4, "agreement": 4}
KNOWN = [(intent(name), COMMON.get(name, 2.5)) for name in INTENTS] + [(introduction, 2.5), (verse.joke, 5), (verse.poem, 5)]
BEYOND = [(beyond.question, 18), (beyond.order, 9), (beyond.nonsense, 9), (beyond.single_word, 5)]


def draw(rng, makers, kept_out=False):
    """(ask, accepted answers) by one of the weighted `makers`."""
    tasks, weights = zip(*makers)
    return rng.choices(tasks, weights)[0](rng, kept_out)


def first_words(rng):
    """One exchange for training."""
    ask, accepted = draw(rng, KNOWN + BEYOND)
    return ask, rng.choice(accepted)


def introducing(rng):
    ask, accepted = introduction(rng)
    return ask, rng.choice(accepted)


def foreign_capital(rng):
    return careless(rng, beyond.capital(rng, kept_out=False)), rng.choice(beyond.answers("unknown"))
