"""Methods that compare principal subspaces: subspace alignment, geodesic flow kernel, PCA."""

import numpy as np

from da_bench.classical._linalg import principal_directions
from da_bench.classical._preprocessing import TrainingRows
from da_bench.classical.base import Alignment, AlignmentMethod
from da_bench.core.config import Count
from da_bench.methods import register


@register
class SubspaceAlignment(AlignmentMethod):
    """SA: rotate the principal directions of the source onto those of the target.

    Source rows become X_s P_s P_s^T P_t; target rows, also new ones, become X_t P_t. Costs O((n + m) d^2).

    Args:
        dimensions: number of principal directions of both domains, at least 1; fewer if a domain varies in fewer. The
            paper chooses it by cross-validation on the source, below a bound from its Theorem 2.
        normalise: norm by which each row is divided first: "l1", "l2" or "none".
        scaling: "each" standardises each domain separately, as in the paper; "none" does not.
        classifier: "1nn" as in the paper, or "logistic".

    References:
        Fernando, Habrard, Sebban and Tuytelaars, Unsupervised Visual Domain Adaptation Using Subspace Alignment, ICCV
        2013. doi:10.1109/ICCV.2013.368, Algorithm 1.
    """

    dimensions: Count = 20

    def align(self, rows: TrainingRows) -> Alignment:
        """Map both domains to the principal directions of the target [n, k]."""
        source_basis, target_basis = principal_bases(rows, self.dimensions)
        aligned = rows.source @ source_basis @ (source_basis.T @ target_basis)
        return Alignment(aligned, lambda new: new @ target_basis)


@register
class Gfk(AlignmentMethod):
    """GFK: inner products over all subspaces on the geodesic from the source's subspace to the target's.

    With the closed form G = F F^T, a row x of either domain becomes x F [2 k]. Costs O((n + m) d^2), without forming
    the d x d matrix G.

    Args:
        dimensions: number of principal directions of both domains, at least 1; fewer if a domain varies in fewer. The
            paper uses at most half of the inputs' dimensions, and chooses the number by a measure of how far the
            subspaces disagree.
        normalise: norm by which each row is divided first: "l1", "l2" or "none".
        scaling: "each" standardises each domain separately, as in the paper; "none" does not.
        classifier: "1nn" as in the paper, with the distance that the kernel induces, or "logistic".

    References:
        Gong, Shi, Sha and Grauman, Geodesic Flow Kernel for Unsupervised Domain Adaptation, CVPR 2012.
        doi:10.1109/CVPR.2012.6247911.
    """

    dimensions: Count = 20

    def align(self, rows: TrainingRows) -> Alignment:
        """Map both domains to coordinates whose inner product is the kernel [n, 2 k]."""
        factor = geodesic_flow_factor(*principal_bases(rows, self.dimensions))
        return Alignment(rows.source @ factor, lambda new: new @ factor)


@register
class Pca(AlignmentMethod):
    """PCA: project both domains on the principal directions of all their rows, without alignment.

    Costs O((n + m) d^2).

    Args:
        dimensions: number of principal directions, at least 1; fewer if the rows vary in fewer.
        normalise: norm by which each row is divided first: "l1", "l2" or "none".
        scaling: "each" standardises each domain separately, as is customary; "none" does not.
        classifier: "1nn" as in tables that compare it with other subspace methods, or "logistic".

    References:
        Pearson, On Lines and Planes of Closest Fit to Systems of Points in Space, Philosophical Magazine 2(11), 1901.
        doi:10.1080/14786440109462720.
    """

    dimensions: Count = 20

    def align(self, rows: TrainingRows) -> Alignment:
        """Map both domains to the principal directions of all rows [n, k]."""
        basis = principal_directions(np.concatenate([rows.source, rows.target]), self.dimensions)
        return Alignment(rows.source @ basis, lambda new: new @ basis)


def principal_bases(rows: TrainingRows, n_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal directions of the source and of the target, both [d, k]; k <= n_components, as many as both have."""
    source, target = (principal_directions(domain, n_components) for domain in (rows.source, rows.target))
    k = min(source.shape[1], target.shape[1])
    return source[:, :k], target[:, :k]


def geodesic_flow_factor(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Factor F of the geodesic flow kernel F F^T = integral over t in [0, 1] of Phi(t) Phi(t)^T.

    The geodesic is Phi(t) = A cos(t theta) + B sin(t theta), where theta are the principal angles, A the principal
    vectors of `start` and B the vectors orthogonal to them. So the integral is [A B] [[l1, l2], [l2, l3]] [A B]^T with
    l1, l3 = (1 +- sin(2 theta) / (2 theta)) / 2 and l2 = (1 - cos(2 theta)) / (4 theta), a 2 x 2 block for each angle.

    Args:
        start: orthonormal basis of the first subspace [d, k].
        end: orthonormal basis of the second subspace [d, k].

    Returns:
        F [d, 2 k].
    """
    left, cosines, right = np.linalg.svd(start.T @ end)
    along = start @ left
    across = end @ right.T - along * cosines
    sines = np.linalg.norm(across, axis=0)
    across = across / np.where(sines > 0, sines, 1.0)
    angles = np.arctan2(sines, cosines)  # unlike the arccosine, accurate for small angles
    values, vectors = np.linalg.eigh(_angle_blocks(angles))
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]  # [k, 2, 2] with roots @ roots^T = blocks
    return np.einsum("pdk,kpq->dkq", np.stack([along, across]), roots).reshape(len(start), -1)


def _angle_blocks(angles: np.ndarray) -> np.ndarray:
    """Integrals over t in [0, 1] of cos^2, cos sin and sin^2 of t theta [k, 2, 2], for angles theta [k]."""
    wave = np.sinc(2 * angles / np.pi) / 2  # numpy's sinc(x) is sin(pi x) / (pi x), so this is sin(2 theta) / (4 theta)
    cross = angles * np.sinc(angles / np.pi) ** 2 / 2  # (1 - cos(2 theta)) / (4 theta) = sin^2(theta) / (2 theta)
    return np.stack([np.stack([0.5 + wave, cross], -1), np.stack([cross, 0.5 - wave], -1)], -2)
