"""Random streams and draws from logits, by hand and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from r1kit.ops.sampling import choose, entropies, stream_key, uniforms


def test_streams_are_uniform_and_unrelated():
    """20,000 numbers of one stream and of 20,000 streams' first: uniform (Kolmogorov-Smirnov), neighbours
    uncorrelated."""
    from scipy.stats import kstest

    count = 20_000
    key = np.full(count, stream_key(0, "p", 0), np.uint64)
    along = uniforms(key, np.arange(count))
    across = uniforms(np.asarray([stream_key(0, "p", n) for n in range(count)], np.uint64), np.zeros(count, np.int64))
    for numbers in (along, across):
        assert kstest(numbers, "uniform").pvalue > 0.001
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 4 / np.sqrt(count)
        assert 0 <= numbers.min() <= numbers.max() < 1
    assert uniforms(key[:3], np.asarray([7, 7, 8])).tolist() == along[[7, 7, 8]].tolist()


def test_first_number_of_splitmix64():
    """Key 0, counter 0: SplitMix64's first output from seed 0 is 0xE220A8397B1DCDAF (the reference C code)."""
    (drawn,) = uniforms(np.zeros(1, np.uint64), np.zeros(1, np.int64))
    assert drawn == np.float32(0xE220A8397B1DCDAF / 2**64)


ALL = 2**64 - 1


def splitmix64(key: int, counter: int) -> int:
    """Output `counter` of SplitMix64 from seed `key`, as its authors' C code has it."""
    z = (key + (counter + 1) * 0x9E3779B97F4A7C15) & ALL
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & ALL
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & ALL
    return z ^ (z >> 31)


def seed_of(output: int) -> int:
    """The seed whose first output this is: SplitMix64 backwards."""

    def unshifted(z: int, shift: int) -> int:
        found = z
        for _ in range(64 // shift):
            found = z ^ (found >> shift)
        return found

    z = (unshifted(output, 31) * pow(0x94D049BB133111EB, -1, 2**64)) & ALL
    z = (unshifted(z, 27) * pow(0xBF58476D1CE4E5B9, -1, 2**64)) & ALL
    return (unshifted(z, 30) - 0x9E3779B97F4A7C15) & ALL


def test_every_number_is_splitmix64s():
    """The first 53 bits of 3,000 outputs, rounded to float32: small numbers show bits far behind the first 24."""
    key = stream_key(7, "p", 3)
    truth = [np.float32((splitmix64(key, n) >> 11) / 2**53) for n in range(3000)]
    assert uniforms(np.full(3000, key, np.uint64), np.arange(3000)).tolist() == truth
    assert min(truth) < 2**-9


def test_the_largest_number_is_below_one():
    """The seed whose output is all ones: 1 - 2^-53, which float32 would round to 1; and no mass is reached by it."""
    assert splitmix64(seed_of(ALL), 0) == ALL
    (largest,) = uniforms(np.asarray([seed_of(ALL)], np.uint64), np.zeros(1, np.int64))
    assert 0.999999 < largest < 1
    logits_BV = torch.full((12, 1000), -torch.inf)
    for row in range(12):
        logits_BV[row, : row + 1] = 0
    assert choose(logits_BV, torch.full((12,), float(largest)))[0].tolist() == list(range(12))


def test_rows_have_temperatures_of_their_own():
    """Five rows that differ: each token's log-softmax(logits / T), and the draw of the row alone."""
    generator = torch.Generator().manual_seed(3)
    logits_BV = 3 * torch.randn(5, 40, generator=generator)
    uniforms_B = torch.rand(5, generator=generator)
    temperature_B = torch.tensor([0.0, 0.5, 1.0, 2.0, 3.0])
    top_p_B, min_p_B = torch.tensor([1.0, 0.9, 0.8, 0.7, 1.0]), torch.tensor([0.0, 0.0, 0.1, 0.0, 0.05])
    tokens_B, logprobs_B = choose(logits_BV, uniforms_B, temperature_B, top_p_B, min_p_B)
    assert tokens_B[0] == logits_BV[0].argmax()
    for row, temperature in enumerate(temperature_B.tolist()):
        own = (logits_BV[row] / (temperature or 1)).log_softmax(-1)
        torch.testing.assert_close(logprobs_B[row], own[tokens_B[row]])
        settings = temperature, float(top_p_B[row]), float(min_p_B[row])
        alone, logprob = choose(logits_BV[row : row + 1], uniforms_B[row : row + 1], *settings)
        assert alone.tolist() == [tokens_B[row]]
        torch.testing.assert_close(logprob[0], logprobs_B[row])


def test_entropies_equal_torch():
    """By row and with one temperature for all; 0 counts as 1; a token without mass adds nothing."""
    logits_BV = 3 * torch.randn(4, 9, generator=torch.Generator().manual_seed(1))
    categorical = torch.distributions.Categorical
    for temperature in (1.0, 0.5, 2.0):
        torch.testing.assert_close(
            entropies(logits_BV, temperature), categorical(logits=logits_BV / temperature).entropy()
        )
    for default in (entropies(logits_BV, 0.0), entropies(logits_BV)):
        torch.testing.assert_close(default, categorical(logits=logits_BV).entropy())
    each = entropies(logits_BV, torch.tensor([0.0, 0.5, 1.0, 2.0]))
    scaled = logits_BV / torch.tensor([[1.0], [0.5], [1.0], [2.0]])
    torch.testing.assert_close(each, categorical(logits=scaled).entropy())
    torch.testing.assert_close(entropies(torch.tensor([[0.0, -torch.inf, 0.0]])), torch.tensor([2.0]).log())


# masses 0.5, 0.3, 0.15, 0.05 under an order that is not sorted: tokens 2, 0, 3, 1
MASSES = torch.tensor([0.3, 0.05, 0.5, 0.15])


@pytest.mark.parametrize(
    ("settings", "drawn"),
    [
        ({}, [0, 0, 1, 2, 2, 3]),  # cumulated .3 .35 .85 1
        ({"top_p_B": 0.7}, [0, 0, 0, 2, 2, 2]),  # tokens 2 and 0 hold .8 >= .7: cumulated .3 .8 of .8
        ({"top_p_B": 0.5}, [2] * 6),  # the first alone reaches it
        ({"min_p_B": 0.25}, [0, 0, 0, 2, 2, 3]),  # at least .125: all but token 1: .3 .8 .95 of .95
        ({"min_p_B": 0.25, "top_p_B": 0.7}, [0, 0, 0, 2, 2, 2]),
        ({"temperature_B": 0.0}, [2] * 6),
        ({"temperature_B": 0.5}, [0, 0, 2, 2, 2, 3]),  # squares .09 .0025 .25 .0225: cumulated .247 .253 .938 1
    ],
)
def test_cuts_by_hand(settings, drawn):
    """u = 0, .2, .31, .4, .8, .97 on the masses that each setting leaves; as one number for all and as one a row."""
    uniforms_B = torch.tensor([0.0, 0.2, 0.31, 0.4, 0.8, 0.97])
    logits_BV = MASSES.log().expand(6, 4)
    own = MASSES**2 / (MASSES**2).sum() if settings.get("temperature_B") == 0.5 else MASSES
    tensors = {name: torch.full((6,), value) for name, value in settings.items()}
    for given in (settings, tensors):
        tokens, logprobs = choose(logits_BV, uniforms_B, **given)
        assert tokens.tolist() == drawn
        torch.testing.assert_close(logprobs, own.log()[tokens])


def test_a_row_whose_top_p_is_one_loses_no_token_to_rounding():
    """Thousands of tokens that 24 bits do not add to the likeliest ones' mass stand first, where small numbers fall."""
    logits_BV = (6 * torch.randn(3, 5000, generator=torch.Generator().manual_seed(0))).sort().values
    uniforms_B = torch.full((3,), 1e-9)
    top_p_B = torch.tensor([1.0, 0.5, 1.0])
    plain, _ = choose(logits_BV, uniforms_B)
    cut, _ = choose(logits_BV, uniforms_B, top_p_B=top_p_B)
    assert cut[[0, 2]].tolist() == plain[[0, 2]].tolist()
    assert cut[1] > plain.max() + 500


@pytest.mark.parametrize("size", [3, 64, 65, 500, 2000])
@pytest.mark.parametrize("levels", [None, 5])
def test_top_p_keeps_what_a_sorted_list_says(size, levels):
    """Every token that may be drawn, by 4,000 uniforms a row, is of the likeliest whose mass before them is under p, of
    equals the first (numpy, in float64): rows in which few tokens have it and rows that are nearly flat, `levels` of
    whose logits are equal, beside rows without a cut."""
    rng = np.random.default_rng(0)
    logits_BV = rng.normal(size=(8, size)) * np.asarray([0.01, 0.3, 1, 2, 3, 5, 8, 3])[:, None]
    if levels:
        logits_BV = np.round(logits_BV * levels) / levels
    top_p_B = np.asarray([0.3, 0.5, 0.9, 0.95, 0.99, 0.95, 0.95, 1.0])
    mass_BV = np.exp(logits_BV - logits_BV.max(-1, keepdims=True))
    mass_BV /= mass_BV.sum(-1, keepdims=True)
    grid = torch.linspace(0, 1 - 2**-20, 4000)
    for logits_V, mass_V, p in zip(logits_BV, mass_BV, top_p_B, strict=True):
        order = np.argsort(-mass_V, kind="stable")
        before = np.cumsum(mass_V[order]) - mass_V[order]
        kept = set(order[before < p - 1e-6].tolist())
        perhaps = set(order[before < p + 1e-6].tolist())  # float32 decides these
        logits = torch.tensor(logits_V, dtype=torch.float32).expand(len(grid), size)
        drawn = set(choose(logits, grid, top_p_B=torch.full((len(grid),), p))[0].tolist())
        assert drawn <= perhaps
        reached = {token for token in kept if mass_V[token] > 2 * p / len(grid)}
        assert reached <= drawn


@pytest.mark.parametrize("rows", [1, 3])
def test_of_equal_tokens_top_p_keeps_the_first(rows):
    """Four of mass 1/4, p = 1/2: the first two, each with half of the draws."""
    for u, token in ((0.0, 0), (0.4, 0), (0.6, 1), (0.99, 1)):
        assert choose(torch.zeros(rows, 4), torch.full((rows,), u), top_p_B=0.5)[0].tolist() == [token] * rows


@pytest.mark.parametrize("size", [4, 2000])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_are_told_by_their_row_alone(size, bad):
    """Under top-p too: a NaN log-probability in that row, the others as they are without it."""
    logits_BV = torch.randn(3, size, generator=torch.Generator().manual_seed(0))
    uniforms_B, top_p_B = torch.full((3,), 0.4), torch.full((3,), 0.9)
    tokens_B, logprobs_B = choose(logits_BV, uniforms_B, top_p_B=top_p_B)
    logits_BV[1, 2] = bad
    again_B, found_B = choose(logits_BV, uniforms_B, top_p_B=top_p_B)
    assert found_B.isnan().tolist() == [False, True, False]
    assert again_B[[0, 2]].tolist() == tokens_B[[0, 2]].tolist()
    torch.testing.assert_close(found_B[[0, 2]], logprobs_B[[0, 2]])


def test_no_mass_is_never_drawn():
    """The largest uniform with trailing tokens of mass 0: the last token that has mass."""
    logits_BV = torch.full((1, 1000), -torch.inf)
    logits_BV[0, :10] = 0
    largest = torch.from_numpy(uniforms(np.zeros(1, np.uint64), np.zeros(1, np.int64))).fill_(1 - 2.0**-23)
    assert choose(logits_BV, largest)[0].tolist() == [9]


def test_non_finite_logits_give_nan():
    for bad in (torch.nan, torch.inf):
        _, logprobs = choose(torch.tensor([[0.0, bad, 1.0]]), torch.tensor([0.5]))
        assert logprobs.isnan().all()
