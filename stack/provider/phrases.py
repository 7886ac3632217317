"""The sentences composed answers are made of. `{topic}` and `{other}` are words of the question."""

_STOP_WORDS = """
    about above after again also and any are because been before being below between both but can could
    describe did does doing down each ever every explain few for from further get give go going got had
    has have having hello her here hers hey him his how however into its just let like list make many may
    maybe me might more most much must need not now off once one only other our ours out over own please
    same say she should show some such summarise summarize tell than thank thanks that the their them then
    there these they this those through too two under until use very want was way were what when where
    whether which while who whom why will with without would write you your yours
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

OPENINGS = (
    "Here is what matters about {topic}.",
    "The short answer on {topic} is simpler than it looks.",
    "With {topic}, the first step is usually the important one.",
    "Good question; {topic} comes up often.",
    "There are a few things to know about {topic}.",
    "Let me explain {topic} step by step.",
)

BODIES = (
    "Most teams begin with {topic} and leave the rest for later.",
    "It helps to look at {other} first, because everything else depends on it.",
    "In practice {topic} and {other} go together.",
    "You can change {other} at any time without losing anything.",
    "A good rule is to write down what {topic} should achieve.",
    "If {other} is not clear yet, start small and measure.",
    "Results usually show within a few days.",
    "Review {topic} once a month and drop what no longer helps.",
    "Where {other} matters, ask for an example before you decide.",
    "The common mistake is to do everything at once.",
    "Two people should know how {topic} works, so that one can be away.",
    "Keep the numbers for {other} in one place, where everyone can see them.",
    "A short test tells you more about {topic} than a long plan.",
    "If something fails, go back one step and try again.",
    "Set a limit for {other} early; it is easier to raise it later.",
    "When {topic} is settled, the remaining work is mostly routine.",
    "You do not need special tools for this.",
    "Tell me more about {other} if you would like a more exact answer.",
)
