"""embq.lightning in a real Trainer."""

import csv
import doctest
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed, so embq.lightning is NOT tested")
lightning = pytest.importorskip(
    "lightning.pytorch", reason="Lightning is not installed, so embq.lightning is NOT tested", exc_type=ImportError
)

from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: E402
from lightning.pytorch.loggers import CSVLogger  # noqa: E402

import embq  # noqa: E402
from embq.lightning import EmbeddingQuality  # noqa: E402
from embq.torch import SoftSilhouetteLoss  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:", "ignore:.*number of training batches", "ignore:.*self.log.*sync_dist"
)


def made(n=48, seed=0):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(n) % 3)
    rows = np.random.default_rng(9).normal(size=(3, 8))[labels] + random.normal(size=(n, 8))
    return torch.utils.data.TensorDataset(torch.tensor(rows, dtype=torch.float32), torch.tensor(labels))


class Encoder(lightning.LightningModule):
    def __init__(self, returns="dict"):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(8, 4)
        self.loss = SoftSilhouetteLoss(num_classes=3)
        self.returns = returns
        self.factor = 1.0

    def forward(self, rows):
        return self.factor * self.layer(rows)

    def training_step(self, batch, index):
        return self.loss(self(batch[0]), batch[1])

    def validation_step(self, batch, index, dataloader_idx=0):
        embeddings = self(batch[0])
        if self.returns == "dict":
            return {"loss": self.loss(embeddings, batch[1]), "embeddings": embeddings, "labels": batch[1]}
        return embeddings if self.returns == "tensor" else None

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)


def trainer(folder, *callbacks, **options):
    settings = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "devices": 1,
        "logger": CSVLogger(folder),
        "log_every_n_steps": 1,
    }
    settings |= {"enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": folder}
    return lightning.Trainer(**{**settings, "callbacks": list(callbacks), **options})


def loader(data, size=10):
    return torch.utils.data.DataLoader(data, batch_size=size)


def expected(module, data, **options):
    rows, labels = data.tensors
    with torch.no_grad():
        return embq.score(module(rows).numpy(), labels.numpy(), **options)


def logged(training):
    training.logger.save()
    with open(f"{training.logger.log_dir}/metrics.csv") as file:
        return list(csv.DictReader(file))


def test_fit_logs_the_numbers_of_all_validation_rows(tmp_path):
    module, data, held_out = Encoder(), made(), made(seed=1)
    callback = EmbeddingQuality()
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_silhouette", mode="max")
    training = trainer(tmp_path, checkpoint, callback)
    training.fit(module, loader(data), loader(held_out))
    result = expected(module, held_out)
    for name, value in result.metrics.items():
        if value is not None:
            assert training.callback_metrics[f"val_{name}"].item() == pytest.approx(value, rel=1e-6), name
    assert len(training.callback_metrics) == sum(value is not None for value in result.metrics.values())
    assert [found.silhouette for found in callback.results] == [result.silhouette]
    # The logger has one line per epoch, and training improves the logged metric.
    values = [float(line["val_silhouette"]) for line in logged(training) if line.get("val_silhouette")]
    assert len(values) == 2 and values[1] > values[0]
    assert checkpoint.best_model_score.item() == pytest.approx(max(values))


def test_options_and_names(tmp_path):
    module, data = Encoder(), made()
    callback = EmbeddingQuality(prefix="{stage}/", log=["silhouette"], metric="euclidean")
    training = trainer(tmp_path, callback)
    training.validate(module, loader(data), verbose=False)
    assert set(training.callback_metrics) == {"val/silhouette"}
    value = expected(module, data, metric="euclidean").silhouette
    assert training.callback_metrics["val/silhouette"].item() == pytest.approx(value)
    training.test(module, loader(data), verbose=False)
    assert set(training.callback_metrics) == {"test/silhouette"}


def test_several_loaders(tmp_path):
    module, first, second = Encoder(), made(), made(seed=1)
    callback = EmbeddingQuality(log=["silhouette"])
    training = trainer(tmp_path, callback)
    training.validate(module, [loader(first), loader(second)], verbose=False)
    for place, data in enumerate([first, second]):
        value = training.callback_metrics[f"val_silhouette/dataloader_idx_{place}"].item()
        assert value == pytest.approx(expected(module, data).silhouette, rel=1e-6)


def test_collect(tmp_path):
    module, data = Encoder(returns="tensor"), made()
    names = np.array(["ant", "bee", "cow"])
    callback = EmbeddingQuality(lambda outputs, batch: (outputs.bfloat16(), names[batch[1]]), log=["silhouette"])
    training = trainer(tmp_path, callback)
    training.validate(module, loader(data), verbose=False)
    value = training.callback_metrics["val_silhouette"].item()
    assert value == pytest.approx(expected(module, data).silhouette, abs=0.02)


@pytest.mark.parametrize(("returns", "words"), [("none", "returned NoneType"), ("tensor", "returned Tensor")])
def test_a_step_that_returns_no_embeddings_is_told_what_to_return(tmp_path, returns, words):
    with pytest.raises(TypeError, match=f"{words}; return a dict with embeddings and labels"):
        trainer(tmp_path, EmbeddingQuality()).validate(Encoder(returns), loader(made()), verbose=False)


def test_a_name_that_is_not_computed_is_an_error(tmp_path):
    with pytest.raises(KeyError, match="did not compute silhuette; it computed silhouette"):
        trainer(tmp_path, EmbeddingQuality(log=["silhuette"])).validate(Encoder(), loader(made()), verbose=False)
    with pytest.raises(TypeError, match="log must be a list of names"):
        EmbeddingQuality(log="silhouette")
    with pytest.raises(ValueError, match="on_failure must be"):
        EmbeddingQuality(on_failure="ignore")


def test_a_model_that_has_diverged_warns_and_trains_on(tmp_path):
    module = Encoder()
    module.factor = float("nan")
    callback = EmbeddingQuality()
    training = trainer(tmp_path, callback)
    with pytest.warns(RuntimeWarning, match="embq could not score these embeddings: .+"):
        training.validate(module, loader(made()), verbose=False)
    assert callback.results == [None] and not training.callback_metrics
    with pytest.raises(ValueError):
        trainer(tmp_path, EmbeddingQuality(on_failure="raise")).validate(module, loader(made()), verbose=False)


def test_the_sanity_check_is_not_scored(tmp_path):
    module, data = Encoder(), made()
    calls = []

    class Counting(EmbeddingQuality):
        def _log(self, trainer, *arguments):
            super()._log(trainer, *arguments)
            calls.append((trainer.sanity_checking, len(self.results)))

    trainer(tmp_path, Counting(), max_epochs=1, num_sanity_val_steps=2).fit(module, loader(data), loader(data))
    assert calls == [(True, 0), (False, 1)]


def test_two_processes_log_the_numbers_of_all_rows(tmp_path):
    module, data = Encoder(), made()
    callback = EmbeddingQuality(log=["silhouette"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        training = trainer(tmp_path, callback, strategy="ddp_spawn", devices=2, max_epochs=1)
        training.fit(module, loader(data), loader(data))
    # The weights are returned from the first process.
    value = training.callback_metrics["val_silhouette"].item()
    assert value == pytest.approx(expected(module, data).silhouette, rel=1e-5)


def test_the_examples_of_the_documentation():
    import embq.lightning

    assert doctest.testmod(embq.lightning).failed == 0
