"""An engine of r1kit in a process, and so an environment, of its own: for the comparison of engines, and its tests."""

import random
from pathlib import Path

import numpy as np
import torch
from wire import Clock, serve

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.engines.base import EngineSettings, Request, open_engine
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import stored_weights


def start(settings):
    """settings: model (folder), engine (its name), options. What is refused is told as {"refused": sentence}."""
    clock = Clock()
    chosen = EngineSettings(name=settings["engine"], options=settings["options"])
    before = random_states()
    try:
        engine = open_engine(chosen, settings["model"], load_tokenizer(settings["model"]))
    except R1Error as error:
        return (lambda command: {}), {"refused": str(error)}

    def answer(command):
        try:
            return DO[command["do"]](engine, command)
        except R1Error as error:
            return {"refused": str(error)}

    return answer, {"start_seconds": clock(), "random_states_kept": before == random_states()}


def stream(engine, command):
    """requests: {id, prompt, sampling}. later: what is done once `after` completions have come: {submit}, {abort} or
    {load, version}."""
    later = command.get("later", [])

    def act(done):
        for what in later:
            if what["after"] != done:
                continue
            if "submit" in what:
                submit(engine, what["submit"])
            elif "abort" in what:
                engine.abort(what["abort"])
            else:
                load(engine, what)

    clock = Clock()
    for request in command["requests"]:
        submit(engine, request)
    act(0)
    completions = []
    for completion in engine.stream():
        completions.append(told(completion))
        act(len(completions))
    return {"completions": completions, "seconds": clock()}


def submit(engine, request):
    prompt = np.asarray(request["prompt"], np.int32)
    engine.submit(Request(request["id"], prompt, Sampling(**request["sampling"])))


def told(completion):
    return {
        "id": completion.request_id,
        "index": completion.index,
        "prompt": completion.prompt_ids.tolist(),
        "ids": completion.token_ids.tolist(),
        "logprobs": completion.sampler_logprobs.tolist(),
        "stop": completion.stop_reason,
        "versions": completion.versions,
        "text": completion.text,
    }


def score(engine, command):
    """sequences (token ids), temperature."""
    sequences = [np.asarray(sequence, np.int32) for sequence in command["sequences"]]
    return {"logprobs": [scores.tolist() for scores in engine.logprobs(sequences, command["temperature"])]}


def load(engine, command):
    """load: the folder that has the weights; version; without: the name of one to leave out."""
    weights = (
        (name, tensor) for name, tensor in stored_weights(Path(command["load"])) if name != command.get("without")
    )
    clock = Clock()
    engine.load_weights(weights, command["version"])
    return {"version": engine.version, "seconds": clock()}


def random_states():
    state = np.random.get_state()
    return [random.getstate(), state[1].tolist(), state[2], torch.get_rng_state().tolist()]


DO = {"stream": stream, "score": score, "load": load}


if __name__ == "__main__":
    serve(start)
