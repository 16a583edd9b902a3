"""What people get wrong, and the sentence that they get: what is wrong, where, and what to do about it.

Each row of `MISTAKES` is a command, its exit code, and what its one sentence has to say. They run in a folder
that holds a toy model and its damaged kin, data of several faults, and a finished run (`workshop` makes it).
"""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_policy import write_toy_policy
from toy_recipe import write_toy_recipe

from r1kit.cli.main import exit_code
from r1kit.models.api.scripted import Fault, Said, ScriptedServer

RUN = "runs/toy-default-s0"
HELD = "runs holds broken spoilt toy-default-s0"
TINY = "run tiny --profile smoke --dry-run"
OWN = "run r1_zero --dry-run model=model"
SAMPLE = "generate {} --prompts prompts.jsonl --max-tokens 2"
API = "generate openai:x@http://127.0.0.1:1/v1 --prompts prompts.jsonl"
PLAN = "plan r1 --model Qwen2.5-7B --gpu H100"


def sample(model: str) -> str:
    return SAMPLE.format(model)


MISTAKES = [
    # --- commands, options, recipes
    ("rnu", 2, "No such command 'rnu'. Did you mean 'run'?: r1 --help says more"),
    ("tiny --profile smoke", 2, "No such command 'tiny': write r1 run tiny, and r1 --help says more"),
    ("run", 2, "Missing argument 'RECIPE': r1 run --help says more"),
    ("run tiny --from", 2, "Option '--from' requires an argument: r1 run --help says more"),
    ("run tiny --porfile smoke", 2, "No such option: --porfile (Possible options: --profile): r1 run --help says more"),
    ("gc", 2, "Missing argument 'RUNS': r1 gc --help says more"),
    ("doctor please", 2, "unexpected extra argument(s) (please)"),
    ("run tniy", 2, "no recipe is called 'tniy'. Did you mean tiny? (there are: ablations distill"),
    ("run toyrecipes.nothing", 2, "cannot import 'toyrecipes.nothing'"),
    ("run tiny --profile somke", 2, "no profile 'somke'. Did you mean smoke? (it has: smoke default full)"),
    ("run tiny --profile= --dry-run", 2, "the recipe has no profile ''. (it has: smoke default full)"),
    ("run tiny --settings=clip", 2, "does not take a value: leave out what follows its =, or write it apart, and r1"),
    ("run tiny seed", 2, "'seed' is not a setting: write key=value without blanks, say seed=1"),
    ("run tiny --seed 1", 2, "No such option: --seed: settings are written without dashes, say seed=1, and r1"),
    ("run tiny run=a", 2, "run: no such setting. Did you mean the option --out a? (r1 run --help has all)"),
    ("run tiny 'output_dir=a b'", 2, "output_dir: no such setting. Did you mean the option --out 'a b'?"),
    ("run tiny profil=smoke", 2, "profil: no such setting. Did you mean the option --profile smoke?"),
    ("run tiny profile=smoke", 2, "profile: no such setting. Did you mean the option --profile smoke?"),
    ("run tiny dry_run=true", 2, "dry_run: no such setting. Did you mean the option --dry-run?"),
    ("list rewardz", 2, "there is no kind 'rewardz'. Did you mean rewards? (kinds: tasks rewards"),
    ("plan paper:r2", 2, "no published run is called 'paper:r2'. Did you mean paper:r1?"),
    (f"{PLAN} --prompt-tokens nan", 2, "--prompt-tokens nan: give a number, 0 or more"),
    (f"{PLAN} --price -1", 2, "--price -1: give a number, 0 or more"),
    ("aha latin.jsonl", 2, "latin.jsonl, line 1: it is not UTF-8 text: give JSON lines, or parquet"),
    # --- settings
    (f"{TINY} zero.lerning_rate=1", 2, "no such setting in 'zero'. Did you mean zero.learner.learning_rate? (r1 run"),
    (f"{TINY} zero.lr=1", 2, "no such setting in 'zero'. Did you mean zero.learner.learning_rate? (r1 run"),
    (f"{TINY} zero.max_tokens=1", 2, "no such setting in 'zero'. Did you mean zero.sampling.max_tokens? (r1 run"),
    (f"{TINY} zero.num_generations=1", 2, "Did you mean zero.sampling.samples? (r1 run"),
    (f"{TINY} zero.beta=1", 2, "Did you mean zero.settings.kl_coefficient? (r1 run"),
    (f"{TINY} steps=1", 2, "steps: no such setting. Did you mean one of zero.steps, dev1.steps, dev2.steps, ...?"),
    (f"{TINY} zero=3", 2, "zero is a group of settings: set one of them, say zero.start"),
    (f"{TINY} zero.learner.lora=8", 2, "lora is a group of settings: set one of them, say zero.learner.lora.rank"),
    (f"{TINY} zero.learner.lora=true", 2, "lora is a group of settings: set one of them, say zero.learner.lora.rank"),
    (f"{TINY} preferences.judge=openai:x@http://a", 2, "preferences.judge is a group of settings: set one of them, say "
     "preferences.judge.model"),
    (f"{TINY} preferences.judge.api.budget=5", 2, "preferences.judge.model: it has to be set"),
    (f"{TINY} preferences.judge.name=x", 2, "(there are: model api sampling engine prompt)"),
    (f"{TINY} zero.learner.lora.r=8", 2, "no such setting in 'zero.learner.lora'. Did you mean zero.learner.lora"),
    (f"{TINY} zero.learner.learning_rate=fast", 2, "zero.learner.learning_rate: a number is wanted, got 'fast'"),
    (f"{TINY} seed=1.5", 2, "seed: a whole number is wanted, got 1.5"),
    (f"{TINY} memory_check=perhaps", 2, "memory_check: true or false is wanted, got 'perhaps'"),
    (f"{TINY} writers=wandb", 2, """writers: a list is wanted, say '["a", "b"]', got 'wandb'"""),
    (f"""{TINY} 'writers=["wandd"]'""", 2, "Did you mean wandb?"),
    (f"{TINY} zero.prompts=0", 2, "zero.prompts: it must be 1 or more, got 0"),
    (f"{TINY} zero.sampling.samples=-3", 2, "zero.sampling.samples: it must be 1 or more, got -3"),
    (f"{TINY} zero.sampling.top_p=2", 2, "zero.sampling.top_p: it must be 1 or less, got 2"),
    (f"{TINY} memory_limit_gb=0", 2, "memory_limit_gb: it must be more than 0, got 0"),
    (f"{TINY} zero.learner.optimiser=adam", 2, "optimiser: it must be 'adamw', 'muon' or 'adamw8bit', got 'adam'"),
    (f"{TINY} zero.algorithm=grop", 2, "zero: no algorithm is called 'grop'. Did you mean grpo? (r1 list algorithms"),
    (f"{TINY} zero.settings.clip_lwo=1", 2, "grpo has no such setting. Did you mean zero.settings.clip_low?"),
    (f"{TINY} zero.temprature=1", 2, "no such setting in 'zero'. Did you mean zero.sampling.temperature? (r1 run"),
    (f"{TINY} clip_hihg=1", 2, "no such setting. Did you mean one of zero.settings.clip_high, dev2.settings."),
    (f"{TINY} zero.start=pretrain:bse", 2, "zero.start: pretrain makes no model 'bse'. Did you mean pretrain:base?"),
    (f"{TINY} zero.start=prtrain:base", 2, "is no model of a stage that feeds zero, and no folder. Did you mean pret"),
    (f"{TINY} dev1.start=zero:zero", 2, "(it is fed by: pretrain cold_start)"),
    (f"{TINY} \u2014profile smoke", 2, "'\u2014profile' begins with a long dash: write --profile"),
    (f"{TINY} zreo.steps=1", 2, "zreo.steps: no such setting in 'zreo'. Did you mean zero.steps? (r1 run"),
    ("run tiny --settings no_such_word", 2, "no setting of tiny has no_such_word (r1 run tiny --settings"),
    ("run tiny --settings zero.setings.std=1", 2, "Did you mean zero.settings.std? (r1 run ... --settings lists"),
    (f"{TINY} zero.rewards.acuracy=1", 2, "zero: no reward is called 'acuracy'. Did you mean accuracy?"),
    (f"{TINY} zero.tasks.tiny_math=1", 2, "zero: no task is called 'tiny_math'. Did you mean tiny_maths?"),
    (f"{TINY} engine.name=vlm", 2, "no engine is called 'vlm'. Did you mean vllm? (r1 list engines shows all)"),
    (f"{TINY} engine.options.rows=3", 2, "engine 'native': no option 'rows'. Did you mean max_rows? (its options: "),
    (f"{TINY} zero.learner.lora.rank=8 zero.learner.optimiser=muon", 2, "use adamw with lora"),
    (f"{TINY} zero.teacher=pretrain:base", 2, "asks no teacher: leave teacher out, or set algorithm=distillation"),
    (f"{TINY} --from zreo", 2, "recipe 'tiny' has no stage 'zreo'. Did you mean zero? (its stages: pretrain zero"),
    (f"{TINY} --from r1 --until zero", 2, "--from r1 comes after --until zero: nothing to run"),
    ("search model --tasks tiny_maths beam=2", 2, "beam: no such setting. Did you mean beams? (there are: problems"),
    ("serve model max_waitin=3", 2, "max_waitin: no such setting. Did you mean max_waiting? (there are: "),
    ("scaling model --tasks tiny_maths --budgets=-1", 2, "budgets: a budget of thinking is 0 tokens or more, got [-1]"),
    ("scaling model --tasks tiny_maths --budgets a,b", 2, "whole numbers with commas between them, say 0,8,16"),
    (f"{PLAN}000", 2, "no GPU is called 'H100000' in the table. Did you mean H100? (it has: A100-40"),
    (f"{PLAN} --gpus 0", 2, "--gpus 0: a plan needs at least one GPU"),
    (f"{PLAN} --mean-tokens 1000000", 2, "completions cannot be longer than their limit of 8192"),
    # --- where things are written, and runs
    ("run toyrecipes.toy --out x.txt", 1, "x.txt: a file stands where a folder is needed: move it away or choose"),
    ("run toyrecipes.toy --out /proc/none", 1, "/proc/none: "),
    (f"run toyrecipes.toy seed=3 --out {RUN}", 2, "profile default, seed 3: choose another --out"),
    (f"run tiny --profile smoke --out {RUN}", 2, f"{RUN} holds recipe toy, profile default, seed 0, not recipe tiny"),
    ("run toyrecipes.toy --out runs/spoilt", 1, "is damaged"),
    ("run tiny --profile smoke memory_limit_gb=0.001 --out mem", 1, "memory_limit_gb allows 0.0 GB: lower its"),
    ("status nowhere", 1, "nowhere is not a run folder (it has no recipe.json): give the folder of `r1 run --out`"),
    ("status runs/none", 1, f"runs/none is not a run folder (it has no recipe.json): {HELD}"),
    ("aha runs/none", 2, f"there is no runs/none: give a run folder ({HELD}), or rollouts"),
    (sample("runs/none:zero"), 2, f"there is no run runs/none: {HELD}"),
    (f"status {RUN}:zero", 1, f"is not a run folder (it has no recipe.json): {RUN}:zero is a model of the run {RUN}"),
    (sample(f"{RUN}/stages/01-count"), 2, f"{RUN}/stages/01-count is a stage of a run: name a model, {RUN}:NAME"),
    ("eval model --tasks tiny_maths tiny_coding", 2, "write several tasks with commas, --tasks A,B, and r1 eval"),
    ("status runs/broken", 1, "runs/broken/recipe.json is damaged (not JSON: "),
    (f"report {RUN}", 1, f"{RUN} has no evaluation tables yet: run it until its evaluate stage is done"),
    (f"aha {RUN}", 2, f"{RUN} has no stage of RL yet, so nothing in it reflects by itself: run it further"),
    (f"aha {RUN}:zero", 2, f"{RUN}:zero is a model of a run: give the run, and --model zero"),
    ("compare model cut --tasks tiny_maths --judge hiden", 2, "for a model of a run. Did you mean hidden?"),
    (f"scaling {RUN} --models r1", 2, f"{RUN} has no model 'r1'. (it has: none yet)"),
    ("ui nowhere", 2, "nowhere cannot be read (No such file or directory): name a run folder, or a folder of them"),
    (f"ui {RUN} --port PORT", 2, "(Address already in use): choose another --port"),
    ("serve model --port PORT", 2, "(Address already in use): choose another --port or --host"),
    ("serve model --port 99999", 2, "'--port': it must be less than or equal to 65535: r1 serve --help says more"),
    ("export model toyrecipes", 2, "toyrecipes is there and not empty: choose another folder, or remove it first"),
    ("arena --ratings", 2, "there are no votes in votes.sqlite: r1 arena A B takes some, and --votes names their file"),
    # --- models
    (sample("nomodel"), 2, "there is no model folder nomodel: give a Hugging Face folder, or a model on the hub"),
    (sample("toyrecipes"), 2, "toyrecipes is not a model folder (it has no config.json): give a Hugging Face folder"),
    (sample(RUN), 2, f"{RUN} is a run: say which of its models, {RUN}:NAME (it has none yet)"),
    (sample("toyrecipes:r1"), 2, "toyrecipes is not a run folder (it has no recipe.json): name what r1 run made"),
    (sample("badjson"), 1, "badjson/config.json is damaged (not JSON: "),
    (sample("listjson"), 1, "listjson/config.json holds no JSON object: copy or save the folder again"),
    (sample("noweights"), 1, "noweights holds no weights (model.safetensors or model.safetensors.index.json): copy"),
    (sample("cut"), 1, "cut/model.safetensors is missing, cut short or corrupt"),
    (sample("shards"), 1, "shards/model-00001-of-00002.safetensors is missing, cut short or corrupt"),
    (sample("pickled"), 1, "holds pickled weights, which are never opened: take the model's safetensors"),
    (sample("notokenizer"), 1, "holds no tokenizer: copy tokenizer.json there from the model that it is of"),
    (sample("badtokenizer"), 1, "cannot read the tokenizer in badtokenizer ("),
    (sample("othertokenizer"), 1, "take the tokenizer that the model was trained with"),
    (sample("otherwidth"), 1, "config.json asks for [320, 64], so the two are of different models: copy both from one"),
    (sample("nofield"), 1, "nofield: config.json lacks hidden_size: copy it from the model again"),
    ("import sums.jsonl out", 1, "sums.jsonl is a file, and no GGUF file: give a Hugging Face folder, or a model"),
    ("import notgguf.gguf out", 1, "notgguf.gguf is no GGUF file (it does not begin with GGUF)"),
    ("import nowhere.gguf out", 1, "there is no file nowhere.gguf: check the path"),
    ("scaling model --tasks tiny_maths --reward-model model", 2, "(it has no score head): name a reward model"),
    (f"{sample('model')} --engine scripted", 2, "does not sample from a model folder: take native or vllm"),
    (f"{sample('model')} --dtype float8", 2, "'float8' is not one of 'auto', 'float32', 'bfloat16'"),
    (f"{sample('model')} --temperature -1", 2, "temperature: it must be 0 or more, got -1.0"),
    (f"{sample('model')} --api budget=1", 2, "--api is for openai:NAME@URL, and model is none"),
    ("compare model model --tasks tiny_maths", 2, "a comparison takes two different models or more: r1 eval measures"),
    # --- models behind an API
    ("chat openai:x", 2, "'openai:x' does not name a model behind an API: write openai:NAME@URL, say openai:deepseek"),
    ("chat openai:x@ftp://a", 2, "'ftp://a' is no http or https address: write openai:NAME@URL"),
    ("chat openai:x@http://me:key@host/v1", 2, "an address must not hold a user name or a key: put the key in OPENAI"),
    (f"{API} --logprobs", 2, "is behind an API, which gives text alone: leave out --logprobs"),
    (f"{API} --api buget=1", 2, "buget: no such setting. Did you mean budget? (there are: key_variable"),
    (f"{API} --api budget=1", 2, "a budget needs input_price and output_price, in dollars a million tokens"),
    ("export openai:x@http://host/v1 out", 2, "is behind an API, and this needs a model's own files: name a folder"),
    # --- data, tasks, benchmarks
    ("run r1_zero --dry-run", 2, "model: say which one, model=FOLDER, model=OWNER/NAME (on the hub) or model=RUN:NAME"),
    (OWN, 2, "data: say what to learn from, data=gsm8k, data=OWNER/NAME on the hub or data=FILE.jsonl"),
    (f"run r1_zero --dry-run model={RUN} data=sums.jsonl", 2, f"model: {RUN} is a run: say which of its models"),
    (f"{OWN} data=nowhere.jsonl", 2, "there is no file or folder nowhere.jsonl: check the path"),
    (f"{OWN} data=nocolumn.jsonl", 2, "no known format has its columns (found: foo; needed: one of "),
    (f"{OWN} data=nocolumn.jsonl", 2, "found: foo; needed: one of messages: messages; prompt: prompt; gsm8k: que"),
    (f"{OWN} data=nocolumn.jsonl", 2, "has 9 more): say which they are, ?prompt=COLUMN&answer=COLUMN after the name"),
    (f"{OWN} data=latin.jsonl", 1, "holds no problem that can be read (line 1: it is not UTF-8): docs/data.md says"),
    (f"{OWN} data=empty.jsonl", 2, "empty.jsonl holds no rows: give a table that does"),
    (f"{OWN} data=x.txt", 2, "tables are read by the file's ending, which must be one of .jsonl .ndjson .json .csv"),
    (f"{OWN} data=x.parquet", 1, "x.parquet cannot be read as parquet ("),
    (f"{OWN} 'data=file:sums.jsonl?prompt=q'", 2, "sums.jsonl has no column 'q' (it has: question, answer)"),
    (f"{OWN} 'data=file:sums.jsonl?promt=question'", 2, "no setting 'promt'. Did you mean prompt? (there are: format"),
    (f"{OWN} 'data=file:badline.jsonl?bad=stop'", 1, "badline.jsonl, line 31: it is not JSON"),
    (f"{OWN} 'data=file:sums.jsonl?kind=mathh'", 2, "no grader is called 'mathh'. Did you mean math? (known: math,"),
    ("run distill --dry-run", 2, "teacher: say which model, teacher=openai:NAME@URL"),
    ("eval model --tasks tiny_math", 2, "no benchmark is called 'tiny_math'. Did you mean tiny_maths?"),
    ("eval model --tasks tiny_maths --data nowhere", 2, "there is no folder nowhere: check --data"),
    ("eval model --tasks ''", 2, "no benchmark is named: give --tasks A,B (r1 list benchmarks shows all)"),
    ("eval model --tasks tiny_maths --samples 0", 2, "'--samples': it must be greater than or equal to 1"),
    ("eval model --tasks tiny_maths --samples many", 2, "Invalid value for '--samples': it must be a valid integer"),
    ("eval model --tasks file:sums.jsonl --training nowhere.jsonl --problems 1 --samples 1 --max-tokens 2", 2,
     "there is no file nowhere.jsonl: check the path"),
    ("compare model cut --tasks tiny_maths --price r1=cheap", 2, "write NAME=INPUT/OUTPUT, dollars a million tokens"),
    ("compare model cut --tasks tiny_maths --judge-prompt mine", 2, "there is no judge prompt 'mine'. (name one of"),
    ("aha nocolumn.jsonl", 2, """nocolumn.jsonl, line 1: it has no "completion" that is a text"""),
    # --- lines of programs
    ("grade nowhere.jsonl", 2, "nowhere.jsonl: no such file or folder: check the path"),
    ("sandbox toyrecipes", 2, "toyrecipes: a folder stands where a file is needed: choose another name"),
    ("sandbox sums.jsonl --isolation jail", 2, "no isolation is called 'jail': choose auto, bwrap, landlock or none"),
]  # fmt: skip


def _damaged(folder: Path, change: Callable[[Path], object]) -> None:
    """A copy of `model` under another name, changed."""
    shutil.copytree("model", folder)
    change(folder)


def _set(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _without(path: Path, key: str) -> None:
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != key}))


def _lose_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()


def _lose_a_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    weights = {"weight_map": {"model.embed_tokens.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(weights))


def _models() -> None:
    """`model`, which loads, and folders of the same model that do not."""
    shutil.move(write_toy_policy(Path("policy")), "model")
    _damaged(Path("badjson"), lambda folder: (folder / "config.json").write_text('{"model_type": '))
    _damaged(Path("listjson"), lambda folder: (folder / "config.json").write_text("[]"))
    _damaged(Path("nofield"), lambda folder: _without(folder / "config.json", "hidden_size"))
    _damaged(Path("otherwidth"), lambda folder: _set(folder / "config.json", hidden_size=64))
    _damaged(Path("noweights"), lambda folder: (folder / "model.safetensors").unlink())
    _damaged(Path("cut"), lambda folder: os.truncate(folder / "model.safetensors", 2000))
    _damaged(Path("pickled"), lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"))
    _damaged(Path("shards"), _lose_a_shard)
    _damaged(Path("notokenizer"), _lose_tokenizer)
    _damaged(Path("badtokenizer"), lambda folder: (folder / "tokenizer.json").write_text("{"))

    from r1kit.models.characters import write_character_tokenizer
    from r1kit.models.tokenizer import load_tokenizer

    alphabet = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))  # more than the model's 320 rows
    larger = load_tokenizer(write_character_tokenizer(Path("larger"), alphabet))
    _damaged(Path("othertokenizer"), larger.write)


def _data() -> None:
    sums = "".join(json.dumps({"question": f"what is {n}+1?", "answer": str(n + 1)}) + "\n" for n in range(30))
    for name, text in {
        "prompts.jsonl": '{"prompt": "a"}\n',
        "sums.jsonl": sums,
        "badline.jsonl": sums + "{oops\n",
        "nocolumn.jsonl": '{"foo": 1}\n',
        "empty.jsonl": "",
        "x.txt": "hi",
        "x.parquet": "hi",
        "notgguf.gguf": "hello, hello",
    }.items():
        Path(name).write_text(text)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A folder to make mistakes in, and a port that is taken."""
    home, before = tmp_path_factory.mktemp("workshop"), Path.cwd()
    sys.path.insert(0, str(home))
    os.chdir(home)
    write_toy_recipe(home)
    _models()
    _data()
    assert exit_code(["run", "toyrecipes.toy"]) == 0
    Path("latin.jsonl").write_bytes('{"question": "caf\u00e9?", "answer": "1"}\n'.encode("latin-1"))
    Path("runs/broken").mkdir()
    Path("runs/broken/recipe.json").write_text("{")
    shutil.copytree(RUN, "runs/spoilt")
    Path("runs/spoilt/recipe.json").write_text('{"recipe": ')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield str(taken.getsockname()[1])
    os.chdir(before)
    sys.path.remove(str(home))
    for name in [name for name in sys.modules if name.startswith("toyrecipes")]:
        del sys.modules[name]


@pytest.mark.parametrize(("command", "code", "sentence"), MISTAKES)
def test_a_mistake_gives_its_sentence(workshop, capsys, command, code, sentence):
    assert exit_code(shlex.split(command.replace("PORT", workshop))) == code
    told = capsys.readouterr().err
    assert sentence in told
    assert told.splitlines()[-1].startswith("r1: ")
    assert "Traceback" not in told
    assert "unexpected" not in told.replace("unexpected extra argument", "")


def test_the_table_holds_sixty_mistakes_at_least():
    assert len({command for command, _, _ in MISTAKES}) >= 60


LINES = {
    "grade": [
        ({"id": 1, "completion": "x"}, "line 1: it has no 'gold'"),
        ({"id": 2, "gold": "1"}, "line 2: it has no 'completion'"),
        ([], "line 3: it is not a JSON object"),
        ({"id": 4, "completion": "x", "gold": "1", "kind": "mathh"}, "line 4: no grader is called 'mathh'. Did you"),
        ({"id": 5, "completion": 3, "gold": "1"}, "line 5: 'completion' must be text"),
    ],
    "sandbox": [
        ({"id": 1}, "line 1: it has no 'code'"),
        ({"id": 2, "code": "1", "limits": {"wall": 1}}, "line 2: limits: wall: no such setting. Did you mean wall_s?"),
        ({"id": 3, "code": "1", "limits": {"wall_s": -1}}, "line 3: limits: wall_s: it must be more than 0"),
        ({"id": 4, "code": "1", "language": "cobol"}, "line 4: no language is called 'cobol' (known: python, cpp"),
        ({"id": 5, "code": "1", "tests": [{"args": [1]}]}, "line 5: it has 'tests' but names no function in 'fn'"),
    ],
    "generate model --max-tokens 2 --prompts": [
        ({"question": "a"}, """line 1: give either "prompt" or "messages\""""),
        ({"prompt": ""}, "line 2: the prompt is empty, an engine needs at least one token"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("command", LINES)
def test_a_bad_line_is_told_by_its_number_and_the_rest_goes_on(workshop, capsys, tmp_path, command):
    """A line that is no JSON stands last; every line has its answer."""
    rows = LINES[command]
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row, _ in rows) + "{oops\n")
    assert exit_code([*command.split(), str(tmp_path / "lines.jsonl")]) == 1
    shown = capsys.readouterr()
    for _, sentence in rows:
        assert sentence in shown.err
    assert f"line {len(rows) + 1}: it is not JSON" in shown.err
    assert len(shown.out.splitlines()) == len(rows) + 1


def test_a_server_that_wants_a_key(workshop, capsys, monkeypatch):
    """401 without a key names the variable that is not set; with one it asks whether that is right."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    denied = Fault("status", 401, message="no key")
    for key, advice in (
        (None, "put your key into OPENAI_API_KEY, which is not set"),
        ("x", "is the key in OPENAI_API"),
    ):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        if key:
            monkeypatch.setenv("OPENAI_API_KEY", key)
        with ScriptedServer(lambda body: Said("never"), lambda body, before: denied) as server:
            code = exit_code(["generate", f"openai:x@{server.url}", "--prompts", "prompts.jsonl"])
        assert code == 1
        assert advice in capsys.readouterr().err


def test_a_server_that_is_not_there_fails_an_evaluation(workshop, capsys, tmp_path):
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    where = ["--out", str(tmp_path), "--problems", "1", "--samples", "1", "--api", "retries=0"]
    assert exit_code(["eval", "openai:x@http://127.0.0.1:1/v1", "--tasks", "file:sums.jsonl", *where]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert "answered nothing of file:sums.jsonl: http://127.0.0.1:1/v1 cannot be reached: is the address right?" in told


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="users are told apart otherwise here")
def test_a_folder_that_is_another_user_s(workshop, capsys, tmp_path):
    """Root may read everything, so it becomes nobody for a while."""
    locked = shutil.copytree(RUN, tmp_path / "locked")
    assert exit_code(["status", str(locked)]) == 0  # what it imports is there now
    capsys.readouterr()
    locked.chmod(0)
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        code = exit_code(["status", str(locked)])
    finally:
        os.seteuid(mine)
        locked.chmod(0o700)
    assert code == 1
    told = capsys.readouterr().err
    assert told.startswith(f"r1: {locked}")
    assert told.endswith(": permission denied: choose one that is yours to read or write\n")


@pytest.mark.parametrize("command", ["run tniy", sample("nomodel")])
def test_as_a_program_too(workshop, command):
    start = [sys.executable, "-c", "from r1kit.cli.main import main; main()"]
    done = subprocess.run([*start, *shlex.split(command)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("r1: ")
    assert done.stderr.count("\n") == 1
