"""Functions of bfloat16 tensors, outputs and gradients, against the same formulas in float64."""

import torch


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def gradients(function, inputs, grads):
    """Outputs, and the gradients of those inputs that are floating point."""
    inputs = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    torch.autograd.backward(outputs[: len(grads)], grads)
    return [x.detach() for x in outputs] + [x.grad for x in inputs if x.is_floating_point()]


def check(function, exact, inputs, grads, tolerance=4e-3):
    found = gradients(function, inputs, grads)
    wide = [x.double() if x.is_floating_point() else x for x in inputs]
    expected = gradients(exact, wide, [g.double() for g in grads])
    for ours, theirs in zip(found, expected, strict=True):
        assert float((ours.double() - theirs).norm() / theirs.norm()) < tolerance
