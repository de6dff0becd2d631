#!/usr/bin/env python3
"""Makes the tutorial's data: messages of customers, and the ticket that each should become.

    Examples/tutorial/tickets.py FOLDER

Writes train.jsonl (800 messages) and test.jsonl (20) to FOLDER, in the form that chat models are trained on: a line holds
{"messages": [system, user, assistant]}. What test.jsonl says about products is said in other sentences than in train.jsonl. The
seed is fixed.
"""
import json, os, random, sys

SYSTEM = "Turn the message into a JSON ticket: topic (delivery, refund, account or defect), product, urgent, order."
# For each topic, sentences for training, then sentences for the test.
SENTENCES = {
    "delivery": ("""My {p} has not arrived yet.|Where is my {p}?|The tracking page for the {p} has not changed for a week.|The
courier left my {p} with somebody else.|When will the {p} come?|The {p} was sent to my old address.|I have been waiting for the
{p} since Monday.|The parcel with the {p} seems to be lost.|Can you deliver the {p} in the evening?|The {p} was meant to be here
yesterday.|The driver did not ring, and the {p} is gone.|My {p} is late.|Nobody was there with the {p}, though you said
Friday.|Has the {p} been shipped?|The {p} is still on its way, after ten days.|The van drove past without leaving the {p}.|You
promised the {p} for last week.|How long does it take until the {p} is here?|The {p} went to the wrong house.|No sign of the
{p}.|Please send the {p} to my office instead.|The {p} is three days late.|Nobody tells me where the {p} is.|When do you ship the
{p}?|The courier lost my {p}.|I am at home all day and no {p} comes.|The {p} should have come a week ago.|Is the {p} coming at
all?|My neighbour got his {p}, and mine is not here.|Why is the {p} so late?|Your driver could not find my house with the {p}.|I
have no {p} and no news.""",
                """My {p} should be here by now.|Can you tell me where the {p} is stuck?|The postman brought everything but the
{p}.|I ordered the {p} in May and am still waiting."""),
    "refund": ("""I want my money back for the {p}.|Please refund the {p}.|I was charged twice for the {p}.|I sent the {p} back
and have seen no money.|The {p} cost less on your page than on my bill.|I returned the {p} last month. Where is my refund?|Please
cancel the {p} and pay me back.|My card was charged for a {p} that I never bought.|How do I return the {p} for a refund?|You took
the wrong amount for the {p}.|The {p} is back with you, so where is my money?|The price of the {p} on the bill is wrong.|I do not
want the {p} any more; please give me my money.|You charged too much for the {p}.|When do I get paid back for the {p}?|The invoice
for the {p} is higher than agreed.|I paid for the {p} and then cancelled it.|Please pay back what the {p} cost.|I would like to
return the {p} and be paid back.|The bill for the {p} came twice.|I changed my mind; take the {p} back.|The discount for the {p}
is not on my bill.|Why is the bill for the {p} so high?|The bill says I bought the {p} twice.|The money for the {p} has not come
back.|I have not got my money for the {p} yet.|Why did you take money for the {p} again?|You charged me for the {p} a second
time.|I no longer want the {p}; pay me back.|The {p} was too expensive, says my bill.|I sent back the {p}; please pay.|The charge
for the {p} is wrong.""",
              """When will I see the money for the {p}?|The {p} was billed twice.|I want to give the {p} back and be
refunded.|Your invoice says too much for the {p}."""),
    "account": ("""I cannot log in to register my {p}.|How do I change the email address for my {p}?|My password does not work
when I look for the {p}.|Please delete my account; the {p} was my last order.|Your site locked me out while I was buying a {p}.|I
never got the code to sign in and see my {p}.|The {p} does not show in my account.|Please move the {p} to my other account.|I
forgot my password and cannot see the {p}.|How do I change my name on the account with the {p}?|My profile shows a {p} that is not
mine.|The login page fails when I look at my {p}.|Please close my account; I have the {p}.|My account has the wrong email address
for the {p}.|I want to change the phone number in my profile, beside the {p}.|Your site does not take my password, and I need to
see my {p}.|How do I open an account to buy a {p}?|I cannot sign in since I bought the {p}.|Please reset my password; I want to
look at my {p}.|Somebody else used my account to buy a {p}.|I have two accounts and the {p} is in the wrong one.|My login was
blocked when I looked for the {p}.|My profile has a wrong name beside the {p}.|I need my password to see the {p}.|The site does
not know my email address, so I cannot find the {p}.|Please delete my profile once I have the {p}.|I need another login for my
{p}.|The phone number in my account is wrong, where the {p} is listed.|Your site rejects my code when I look at the {p}.|Please
close the account that bought the {p}.|My new password is refused, so I cannot see the {p}.|Why is my account locked since the {p}
came?""",
               """I cannot get into my account to look at the {p}.|My email address has changed since I bought the {p}.|The login
for my {p} is blocked.|Which password do I need to see the {p}?"""),
    "defect": ("""The {p} is broken.|My {p} stopped working after a day.|The {p} makes a terrible noise.|A part of the {p} is
missing.|The {p} does not switch on.|There is a crack in the {p}.|The {p} leaks.|The {p} smells of smoke when I use it.|The handle
of the {p} came off.|The {p} gets far too hot.|My {p} does not start.|The {p} turns itself off after a minute.|The {p} is
dented.|A screw of the {p} is loose.|The {p} was dead when I opened the box.|The {p} has a scratch and wobbles.|The {p}
rattles.|The {p} no longer works.|One side of the {p} is bent.|The {p} failed this morning.|The {p} came in pieces.|The {p} sparks
when I touch it.|The {p} came with a dent.|The {p} arrived broken.|My {p} will not work.|The {p} died after an hour.|The {p}
shakes and stops.|A loose part rattles in the {p}.|The {p} switches itself off.|The {p} does not turn any more.|The {p} arrived
with a crack and no screws.|My {p} is dead.""",
              """The {p} gave up after two days.|The {p} has a broken handle.|The {p} smells burnt and is very hot.|The {p} will
not turn on."""),
}
SENTENCES = {topic: [" ".join(text.split()).split("|") for text in texts] for topic, texts in SENTENCES.items()}
PRODUCTS = """kettle lamp radio toaster bicycle tent camera printer heater blender drill watch keyboard fan backpack iron
telescope guitar mixer clock scooter monitor shaver stove armchair bookshelf candle carpet curtain cushion desk dishwasher
doorbell earring fridge hammer hammock jacket ladder lantern laptop microscope mirror necklace oven pan pillow projector pump
raincoat razor saddle saw scale sink skateboard sofa speaker stroller suitcase sweater tablet teapot thermostat trampoline tripod
trumpet umbrella vacuum vase violin wardrobe whisk anvil barometer bathtub bookend canoe cello chandelier chessboard crutch
dehumidifier drum easel footstool glove greenhouse hairdryer harness headphones juicer kayak ladle letterbox lighter mailbox
mousetrap notebook ottoman paddle parasol racket refrigerator rucksack sandal sledge spanner sprinkler stapler stethoscope
sunshade toothbrush treadmill trowel wheelbarrow wok zither""".split()
URGENT = ["I need an answer today.", "This is urgent.", "Please hurry.", "It is for tomorrow.", "I cannot wait any longer.", "Quickly, please."]
CALM = ["", "", "There is no hurry.", "Take your time.", "Any day will do.", "Thank you."]
ORDERS = ["The order is {}.", "Order {}.", "My order number is {}.", "It was order {}."]


def example(rng, test):
    topic = rng.choice(list(SENTENCES))
    product = rng.choice(PRODUCTS)
    urgent, number = rng.random() < 0.5, f"{rng.choice('ABCDEFGH')}{rng.randrange(1000, 10000)}"
    order = number if rng.random() < 0.6 else None
    parts = [rng.choice(SENTENCES[topic][test]).format(p=product), rng.choice(ORDERS).format(order) if order else "",
             rng.choice(URGENT if urgent else CALM)]
    if rng.random() < 0.3: parts = parts[1:] + parts[:1]
    ticket = {"topic": topic, "product": product, "urgent": urgent, "order": order}
    return {"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": " ".join(p for p in parts if p)},
                         {"role": "assistant", "content": json.dumps(ticket)}]}


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    rng = random.Random(7)
    train, test = [example(rng, False) for _ in range(800)], [example(rng, True) for _ in range(20)]
    for name, lines in [("train", train), ("test", test)]:
        with open(os.path.join(sys.argv[1], name + ".jsonl"), "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


if __name__ == "__main__":
    main()
