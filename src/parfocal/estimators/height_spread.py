"""How far particles lie from what their neighbourhoods show: learned from their own curves."""

import numpy as np
from scipy.special import logsumexp

TRIED = np.geomspace(20.0, 640.0, 21)  # Å
BELIEF = 0.7  # standard deviation of the prior, in ln


class HeightSpread:
    """Weighs standard deviations [Å] of heights by the particles' own likelihood curves.

    A particle's defocus is its neighbourhood's plus a height, normal with standard deviation τ. The
    evidence for each τ is the product over particles of the mean of their curves under it. A prior
    around `expected` speaks where they say little. What else is in a particle's box, ice above all,
    lies where the neighbourhood does and pulls τ down: less than `expected` is not believed.
    """

    def __init__(self, expected: float) -> None:
        self._expected = expected
        self._evidence = np.zeros(len(TRIED))
        self.particles = 0

    def see(self, curves, change, centre, error) -> None:
        """Add particles: their curves (m, c) [nats] on `change` (c,), and their neighbourhoods' change.

        centre: (m,) Å, and its standard error; the particle itself must not be part of it.
        """
        for i, spread in enumerate(TRIED):
            variance = spread**2 + error[:, None] ** 2
            density = -((change - centre[:, None]) ** 2) / (2 * variance)
            density -= logsumexp(density, axis=1, keepdims=True)
            self._evidence[i] += logsumexp(curves + density, axis=1).sum()
        self.particles += len(curves)

    def value(self) -> float:
        """Root mean square τ [Å] under the posterior, or `expected` if that is more."""
        if self._expected == 0:
            return 0.0
        log_prior = -((np.log(TRIED / self._expected) / BELIEF) ** 2) / 2
        weight = np.exp(self._evidence + log_prior - (self._evidence + log_prior).max())
        return max(self._expected, float(np.sqrt(np.sum(weight * TRIED**2) / weight.sum())))
