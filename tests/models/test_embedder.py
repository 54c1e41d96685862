import pytest
import torch

from facings.models.embedder import Embedder
from facings.models.pooling import AveragePooling, GeM


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    torch.manual_seed(0)
    return Embedder("mobilenetv4_conv_small_035", pooling=GeM(), image_size=32, dimension=16).eval()


def test_embeddings_have_unit_length(embedder: Embedder) -> None:
    with torch.no_grad():
        vectors = embedder(torch.randn(3, 3, 32, 32))
    assert vectors.shape == (3, 16)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-6)


def test_gem_is_the_mean_at_one_and_near_the_maximum_far_out() -> None:
    features = torch.rand(2, 5, 4, 4) + 0.1
    assert torch.allclose(GeM(p=1.0)(features), AveragePooling()(features), atol=1e-6)
    assert torch.allclose(GeM(p=200.0)(features), features.amax(dim=(2, 3)), rtol=0.02)


def test_the_neck_has_no_trained_offset(embedder: Embedder) -> None:
    assert not embedder.neck.bias.requires_grad
