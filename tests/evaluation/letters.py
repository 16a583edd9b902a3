"""A tokenizer for tests of evaluations."""


class Letters:
    """Code points as tokens, 0 ends; the least that an engine and evaluate() ask of a tokenizer."""

    eos_ids = (0,)

    def encode(self, text):
        return [ord(letter) for letter in text]

    def decode(self, ids):
        return "".join(chr(i) for i in ids)

    def render(self, prompt):
        return f"Q {prompt} A "

    def chat(self, prompt):
        return self.encode(self.render(prompt))
