"""Principal subspaces: SA aligns the domains', GFK goes from one to the other, PCA has one for both."""

import numpy as np

from da_bench.classical.common import Aligned, Domains, Map, principal
from da_bench.core.config import Count
from da_bench.methods import register


@register
class SubspaceAlignment(Aligned):
    """SA: the source's principal directions, turned onto the target's by the matrix that brings them closest.

    dimensions: of both subspaces, fewer where a domain varies in fewer; the paper chooses them by cross-validation
    on the source, below a bound that its Theorem 2 gives. normalise: "l1" or "l2" divides each row by that norm
    first. scaling: "each" z-scores the domains on their own, as in the paper, "none" does not. classifier: "1nn" as
    in the paper, or "logistic". The source becomes X_s P_s P_s^T P_t, the target, training rows and new ones alike,
    X_t P_t. Costs O((n + m) d^2).

    References: Fernando, Habrard, Sebban and Tuytelaars, Unsupervised Visual Domain Adaptation Using Subspace
    Alignment, ICCV 2013. doi:10.1109/ICCV.2013.368, Algorithm 1.
    """

    dimensions: Count = 20

    def embed(self, rows: Domains) -> tuple[np.ndarray, Map]:
        """Both domains on the target's principal directions: [n, k]."""
        of_source, of_target = bases(rows, self.dimensions)
        return rows.source @ of_source @ (of_source.T @ of_target), lambda new: new @ of_target


@register
class Gfk(Aligned):
    """GFK: inner products over all subspaces on the geodesic from the source's to the target's, in closed form.

    dimensions: of both subspaces, fewer where a domain varies in fewer, and at most half of the inputs' in the
    paper, which chooses them by a measure of how far the subspaces disagree. normalise: "l1" or "l2" divides each
    row by that norm first. scaling: "each" z-scores the domains on their own, as in the paper, "none" does not.
    classifier: "1nn" as in the paper, by the distance that the kernel induces, or "logistic". With G = F F^T, a row
    x of either domain becomes x F [2 k]; new target rows likewise. Costs O((n + m) d^2), without the d x d matrix
    G.

    References: Gong, Shi, Sha and Grauman, Geodesic Flow Kernel for Unsupervised Domain Adaptation, CVPR 2012.
    doi:10.1109/CVPR.2012.6247911.
    """

    dimensions: Count = 20

    def embed(self, rows: Domains) -> tuple[np.ndarray, Map]:
        """Both domains in coordinates whose inner product is the kernel: [n, 2 k]."""
        factor = flow_factor(*bases(rows, self.dimensions))
        return rows.source @ factor, lambda new: new @ factor


@register
class Pca(Aligned):
    """PCA: both domains on the principal directions of all their rows together, which nothing aligns.

    dimensions: how many, fewer where the rows vary in fewer. normalise: "l1" or "l2" divides each row by that norm
    first. scaling: "each" z-scores the domains on their own, as is the custom, "none" does not. classifier: "1nn" as
    in the tables that hold other subspaces against it, or "logistic". Costs O((n + m) d^2).

    References: Pearson, On Lines and Planes of Closest Fit to Systems of Points in Space, Philosophical Magazine 2(11),
    1901. doi:10.1080/14786440109462720.
    """

    dimensions: Count = 20

    def embed(self, rows: Domains) -> tuple[np.ndarray, Map]:
        """Both domains on the shared principal directions: [n, k]."""
        shared = principal(np.concatenate([rows.source, rows.target]), self.dimensions)
        return rows.source @ shared, lambda new: new @ shared


def bases(rows: Domains, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal principal directions [d, k'] of the source and the target, k' <= k what both have."""
    of_source, of_target = principal(rows.source, k), principal(rows.target, k)
    shared = min(of_source.shape[1], of_target.shape[1])
    return of_source[:, :shared], of_target[:, :shared]


def flow_factor(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """F [d, 2 k] with F F^T = the integral over t in [0, 1] of Phi(t) Phi(t)^T; start, end: orthonormal [d, k].

    The geodesic is Phi(t) = A cos(t theta) + B sin(t theta), A and B the principal vectors of `start` and those
    orthogonal to it, theta the principal angles. So the integral is [A B] [[l1, l2], [l2, l3]] [A B]^T with
    l1, l3 = (1 +- sin(2 theta) / (2 theta)) / 2 and l2 = (1 - cos(2 theta)) / (4 theta), a 2 x 2 matrix an angle.
    """
    left, cosines, right = np.linalg.svd(start.T @ end)
    along = start @ left
    across = end @ right.T - along * cosines
    sines = np.linalg.norm(across, axis=0)
    across = across / np.where(sines > 0, sines, 1.0)
    angles = np.arctan2(sines, cosines)  # exact where they are small, as the arccosine is not
    values, vectors = np.linalg.eigh(angle_blocks(angles))
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]  # [k, 2, 2], roots roots^T = the blocks
    return np.einsum("pdk,kpq->dkq", np.stack([along, across]), roots).reshape(len(start), -1)


def angle_blocks(angles: np.ndarray) -> np.ndarray:
    """[k, 2, 2] the integrals over t of cos^2, cos sin and sin^2 of t theta, for angles [k]."""
    wave = np.sinc(2 * angles / np.pi) / 2  # numpy's sinc(x) = sin(pi x) / (pi x): sin(2 theta) / (4 theta)
    cross = angles * np.sinc(angles / np.pi) ** 2 / 2  # (1 - cos(2 theta)) / (4 theta) = sin^2(theta) / (2 theta)
    return np.stack([np.stack([0.5 + wave, cross], -1), np.stack([cross, 0.5 - wave], -1)], -2)
