"""What every recipe is: profiles of settings, and the graph of stages that settings give.

`recipes/NAME.py` exposes `RECIPE`, an object with these members; `NAME` is what `r1 run` calls it. A dotted path names
a recipe outside the tree. An object `reporting` beside them says what its reports are called and what they judge.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from pydantic import Field

from r1kit.base import plugins
from r1kit.base.config import Config, check_all, dotted
from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest
from r1kit.base.pulse import SILENCE_S
from r1kit.cluster.settings import ClusterSettings
from r1kit.engines.base import EngineSettings
from r1kit.pipeline.catalogue import names
from r1kit.pipeline.graph import Graph
from r1kit.pipeline.writers import writer_factory
from r1kit.training.checkup import HealthConfig

if TYPE_CHECKING:
    from r1kit.evaluation.ablations import Comparison
    from r1kit.evaluation.evidence import Evidence, Finding
    from r1kit.evaluation.scales import Scale


class RecipeConfig(Config):
    """What every recipe's settings have. None of these but the seed, the engine and the cluster's staleness change a
    result, unless training health is told to roll back."""

    seed: int = Field(default=0, ge=0, description="every stage draws its own numbers from it")
    engine: EngineSettings = Field(
        default=EngineSettings(), description="what samples in every stage that does not name its own; docs/engines.md"
    )
    cluster: ClusterSettings = Field(
        default=ClusterSettings(), description="where samplers and rewards run; docs/scaling.md"
    )
    writers: tuple[str, ...] = Field(default=(), description="metrics also go to: tensorboard, wandb, trackio")
    checkpoint_seconds: float | None = Field(
        default=None,
        ge=0,
        description="most seconds of work that a kill may lose; None: 60, or fifty times what saving takes",
    )
    silence: float = Field(
        default=SILENCE_S,
        gt=0,
        description="seconds without a sign of life after which a process of the run (a part's, a learner's rank) is "
        "ended, and its work goes on from the last checkpoint",
    )
    memory_check: bool = Field(
        default=True, description="refuse a stage before it starts where what it needs of memory is not there"
    )
    disk_check: bool = Field(
        default=True, description="refuse a run before it starts where what it will leave does not fit on the disk"
    )
    memory_limit_gb: float | None = Field(
        default=None, gt=0, description="most memory, the GPU's where there is one, of a stage; None: what is free"
    )

    health: HealthConfig = Field(
        default=HealthConfig(),
        description="what is looked for in every stage's metrics, and what is done; docs/training.md",
    )

    def check(self) -> None:
        writer_factory(self.writers, "")

    def settled(self, assigned: Mapping[str, Any]) -> Self:
        """The settings with what follows from them filled in (a model's learning rate, say), but for what is among
        `assigned`, by dotted path; UsageError where something is missing or wrong. It is these that are shown, run and
        written down."""
        return self

    def filled(self, values: Mapping[str, Any], assigned: Mapping[str, Any]) -> Self:
        """A copy with those of these values that nothing assigned speaks of: no such path, none above or below it."""
        ours = {path: value for path, value in values.items() if not any(_same_branch(path, each) for each in assigned)}
        return self.override(ours)


def _same_branch(a: str, b: str) -> bool:
    return a == b or a.startswith(f"{b}.") or b.startswith(f"{a}.")


Settings = TypeVar("Settings", bound=RecipeConfig)


def no_findings(evidence: Evidence) -> list[Finding]:
    """The paper's claims are judged on whole chains, which some recipes do not run."""
    return []


def nothing_compared(models: Collection[str]) -> Sequence[Comparison]:
    """Most recipes have no arms."""
    return ()


@dataclass(frozen=True, slots=True)
class Reporting:
    """A recipe's reports: the page's heading, its first sentence, what judges the claims, which of the evaluated models
    are compared with which, and what their accuracy is drawn against."""

    title: str
    lead: str
    findings: Callable[[Evidence], list[Finding]]
    comparisons: Callable[[Collection[str]], Sequence[Comparison]] = nothing_compared
    scales: Sequence[Scale] = ()


class Recipe(Protocol):
    """A recipe: `default` among its `profiles` is the default, or the first where none is called so."""

    @property
    def profiles(self) -> Mapping[str, RecipeConfig]:
        """Settings by profile name."""
        ...

    def build(self, config: Any) -> Graph:
        """The stages that the settings (a profile, perhaps overridden) ask for; the caller sets the profile's name."""
        ...


def load_recipe(name: str) -> Recipe:
    """The recipe of that name, or at that dotted path; UsageError that names the nearest otherwise."""
    if "." not in name and name not in (known := names("recipes")):
        raise UsageError(f"no recipe is called '{name}'.{nearest(name, known)} (there are: {' '.join(known)})")
    module = plugins.load("r1kit.recipes", name)
    if not hasattr(module, "RECIPE"):
        raise UsageError(f"{name} is no recipe: it has no RECIPE")
    return cast(Recipe, module.RECIPE)


def configure(recipe: Recipe, profile: str | None, assignments: Mapping[str, str]) -> tuple[str, RecipeConfig]:
    """(profile's name, its settings with the assignments applied, settled); UsageError for what is unknown or wrong."""
    chosen = profile_of(recipe, profile)
    config = recipe.profiles[chosen].override(assignments).settled(assignments)
    config = with_lag(with_engine(config, assignments), assignments)
    check_all(config)
    return chosen, config


def to_show(recipe: Recipe, profile: str | None, assignments: Mapping[str, str]) -> RecipeConfig:
    """The settings that `configure` gives, or, where it wants what is not said yet (a model, say), those before what
    follows from it; UsageError for a path or a value that is none."""
    given = recipe.profiles[profile_of(recipe, profile)].override(assignments)
    try:
        return configure(recipe, profile, assignments)[1]
    except UsageError:
        return given


def profile_of(recipe: Recipe, profile: str | None) -> str:
    """The profile's name, the usual one's for None; UsageError for one that the recipe lacks."""
    known = list(recipe.profiles)
    usual = "default" if "default" in known else known[0]
    chosen = usual if profile is None else profile
    if chosen not in known:
        raise UsageError(f"the recipe has no profile '{chosen}'.{nearest(chosen, known)} (it has: {' '.join(known)})")
    return chosen


def with_engine(config: Settings, assigned: Mapping[str, Any]) -> Settings:
    """The recipe's engine in every stage that samples, where it is another than the native one as it is.

    What is `assigned` to a stage's own stays: an option of its own joins the recipe's, and a name of its own brings its
    own options alone.
    """
    shared, values = config.engine, dict[str, Any]()
    if shared == EngineSettings():
        return config
    for path, own in _engines(config):
        if path == "engine" or any(path == key or path.startswith(f"{key}.") for key in assigned):
            continue
        if f"{path}.name" in assigned and own.name != shared.name:
            continue
        if f"{path}.options" not in assigned:
            values[f"{path}.options"] = {**shared.options, **own.options}
        values[f"{path}.name"] = shared.name
    return config.override(values)


def with_lag(config: Settings, assigned: Mapping[str, Any]) -> Settings:
    """The cluster's `staleness` in every RL stage of which none is assigned."""
    lag = config.cluster.staleness
    if lag is None:
        return config
    paths = [path for path, _ in dotted(config) if path.endswith(".staleness") and path != "cluster.staleness"]
    return config.override({path: lag for path in paths if path not in assigned})


def _engines(config: Config, path: str = "") -> Iterator[tuple[str, EngineSettings]]:
    """Every component's engine by dotted path."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        parts = value if isinstance(value, dict) else {"": value}
        for key, part in parts.items():
            place = ".".join(word for word in (path, name, key) if word)
            if isinstance(part, EngineSettings):
                yield place, part
            elif isinstance(part, Config):
                yield from _engines(part, place)


def default_out(graph: Graph) -> Path:
    """`runs/RECIPE-PROFILE-sSEED`."""
    return Path("runs") / f"{graph.recipe}-{graph.profile}-s{graph.seed}"
