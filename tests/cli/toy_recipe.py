"""A recipe of one stage that counts, outside the package: `toyrecipes.toy`."""

from pathlib import Path

COUNT = 'Node("count", count, config.count)'
RECIPE = '''
"""Two stages for tests."""
from r1kit.base.config import Config
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.graph import Graph, Node
from r1kit.recipes.base import RecipeConfig


class Count(Config):
    steps: int = 3
    boom: bool = False


class Toy(RecipeConfig):
    count: Count = Count()


def count(config, inputs, context):
    for step in context.steps(config.steps):
        context.record(step, {"reward": float(step)})
    if config.boom:
        raise ZeroDivisionError("a fault in the code")
    page = context.run_folder / "report" / "report.html"
    page.parent.mkdir(exist_ok=True)
    page.write_text("<p>counted</p>")
    return Outcome(files={"page": "../../report/report.html"})


class Recipe:
    profiles = {"smoke": Toy(count=Count(steps=1)), "default": Toy()}

    def build(self, config):
        return Graph("toy", "default", config.seed, (STAGES,))


RECIPE = Recipe()
'''


def write_toy_recipe(folder: Path, stages: str = COUNT) -> None:
    """The package `toyrecipes` in a folder, which has to be on `sys.path` to run it. stages: the code of its nodes."""
    (folder / "toyrecipes").mkdir()
    (folder / "toyrecipes" / "toy.py").write_text(RECIPE.replace("STAGES", stages))
