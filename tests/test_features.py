"""Features of a network that stays as it is, and the head that is computed from them."""

import numpy as np
import pytest
import torch
from conftest import coloured_squares
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from cnnviz_utils.base import files
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.models.build import build_model
from cnnviz_utils.training import features as module
from cnnviz_utils.training.evaluation import embeddings, predict, predict_tta
from cnnviz_utils.training.features import answers, logistic_head, pooled_features


@pytest.fixture(scope="module")
def data():
    return coloured_squares(50, size=32)


@pytest.fixture
def model():
    return build_model("small_resnet", 3, size=32, seed=1)


def test_they_are_the_layers_means_in_the_sets_order(model, data):
    found = pooled_features(model, data, ["stage2", "pool"], mirrored=True, precision="off", device="cpu")
    for view, images in enumerate((data.images, data.images[..., ::-1])):
        seen = type(data)(np.ascontiguousarray(images), data.labels, data.classes)
        long_way = torch.cat([embeddings(model, seen, layer, device="cpu") for layer in ("stage2", "pool")], 1)
        torch.testing.assert_close(found[view], long_way, rtol=1e-4, atol=1e-5)
    half = pooled_features(model, data, ["stage2", "pool"], precision="bfloat16", device="cpu")[0]
    assert F.cosine_similarity(half, found[0]).min() > 0.999
    assert not torch.equal(half, found[0])


def test_what_was_computed_is_found_again_and_nothing_else(model, data, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 20)
    ask = lambda net, **options: pooled_features(net, data, precision="off", device="cpu", **options)
    computed, compute = [], module._compute

    def counting(*given):
        computed.append(len(given[1]))
        return compute(*given)

    monkeypatch.setattr(module, "_compute", counting)
    monkeypatch.setattr(module, "_stamp", lambda *given: str(given[1]) + str(given[0].head.weight.sum()))
    seen = []
    first = ask(model, progress=seen.append)
    assert (computed, seen) == ([20, 20, 10], [20, 40, 50])
    assert torch.equal(ask(model), first) and len(computed) == 3
    assert len(ask(model, mirrored=True)) == 2 and len(computed) == 6
    torch.nn.init.ones_(model.head.weight)
    ask(model)
    assert len(computed) == 9


def test_an_interrupted_computation_goes_on_where_it_was(model, data, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 10)

    def stop(done):
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pooled_features(model, data, device="cpu", progress=stop)
    made, cached = [], files.cached
    monkeypatch.setattr(module, "cached", lambda folder, make, read: cached(
        folder, lambda work: (made.append(folder), make(work)), read))
    pooled_features(model, data, device="cpu")
    assert len(made) == 2


def test_the_network_is_left_as_it_was(model, data):
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    pooled_features(model, data, precision="bfloat16", device="cpu")
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.head.weight.requires_grad and not model.stem[0]._forward_hooks


def test_the_head_answers_as_scikit_learn_does():
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 4
    points = torch.randn(120, 6, generator=draw) * 3 + 5 + F.one_hot(labels, 6).float() * 4
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=1000)).fit(points, labels)
    head = logistic_head(points, labels, 4, C=0.5)
    ours = answers(head, points).exp().numpy()
    np.testing.assert_allclose(ours, pipeline.predict_proba(points), atol=2e-3)
    two = labels < 2
    pipeline.fit(points[two], labels[two])
    ours = answers(logistic_head(points[two], labels[two], 3, C=0.5), points[two]).exp().numpy()
    np.testing.assert_allclose(ours[:, :2], pipeline.predict_proba(points[two]), atol=2e-3)
    assert (ours[:, 2] == 0).all()  # a class that nobody has seen


def test_views_are_examples_and_their_answers_are_averaged(model, data):
    views = pooled_features(model, data, mirrored=True, precision="off", device="cpu")
    head = logistic_head(views, data.labels, 3)
    same = logistic_head(views.flatten(0, 1), data.labels.repeat(2), 3)
    assert torch.equal(head.weight, same.weight)
    with torch.no_grad():
        model.head.weight.copy_(head.weight)
        model.head.bias.copy_(head.bias)
    # the network with this head is the head on the features
    logits, _ = predict(model, data, device="cpu")
    torch.testing.assert_close(logits.log_softmax(1), answers(head, views[0]), atol=1e-4, rtol=1e-4)
    both, _ = predict_tta(model, data, [lambda images: images.flip(-1)], share=0.5, device="cpu")
    torch.testing.assert_close(both, answers(head, views), atol=1e-4, rtol=1e-4)


def test_refused_in_a_sentence(model, data):
    with pytest.raises(UsageError, match="at least one image"):
        pooled_features(model, data.subset([]))
    with pytest.raises(UsageError, match="at least one image and one layer"):
        pooled_features(model, data, [])
    with pytest.raises(KeyError, match="no layer 'stage9'"):
        pooled_features(model, data, ["stage9"])
    with pytest.raises(UsageError, match="at least two classes"):
        logistic_head(torch.rand(5, 3), torch.zeros(5, dtype=torch.int64), 2)
