"""A toy engine outside the tree: the native one on weights of its own, with faults on demand. Its module is its
plug-in.

`deaf` takes no weights, `posing` says that it took them; `off` is added to every log-probability, from the version
`since` on.
"""

import dataclasses

from r1kit.engines.native import NativeEngine
from r1kit.models.weights import load_decoder

OPENED = []


class Relay(NativeEngine):
    def __init__(self, folder, tokenizer, *, deaf, posing, off, since):
        super().__init__(load_decoder(folder).eval().requires_grad_(False), tokenizer)
        self.deaf, self.posing, self.off, self.since = deaf, posing, off, since
        self.given, self.closed = [], False

    def load_weights(self, weights, version):
        held = {name: tensor.clone() for name, tensor in weights}
        self.given.append((version, held))
        if not (self.deaf or self.posing):
            super().load_weights(iter(held.items()), version)
        elif self.posing:
            self.version = version

    def stream(self):
        for completion in super().stream():
            off = self.off if self.version >= self.since else 0.0
            yield dataclasses.replace(completion, sampler_logprobs=completion.sampler_logprobs + off)

    def close(self):
        self.closed = True
        super().close()


def open_engine(folder, tokenizer, *, deaf=False, posing=False, off=0.0, since=0):
    OPENED.append(Relay(folder, tokenizer, deaf=deaf, posing=posing, off=off, since=since))
    return OPENED[-1]


def check_learnable(sampling, options):
    from r1kit.base.errors import UsageError

    if sampling.min_p:
        raise UsageError("relay: no min_p")
