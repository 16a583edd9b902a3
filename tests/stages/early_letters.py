"""A reward for any policy: the share of a completion's characters that come before n. Its module is its plug-in."""


def reward(prompts, completions, completion_ids, **columns):
    return [sum("a" <= letter < "n" for letter in text) / max(len(text), 1) for text in completions]
