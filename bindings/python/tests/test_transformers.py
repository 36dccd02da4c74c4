"""embq.transformers in a real Trainer."""

import doctest
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed, so embq.transformers is NOT tested")
transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed, so embq.transformers is NOT tested", exc_type=ImportError
)
pytest.importorskip("accelerate", reason="accelerate is not installed, so embq.transformers is NOT tested")

import embq  # noqa: E402
from embq.torch import HybridLoss  # noqa: E402
from embq.transformers import EmbeddingQualityCallback, mean_pooling  # noqa: E402


class Rows(torch.utils.data.Dataset):
    def __init__(self, n=40, seed=0):
        random = np.random.default_rng(seed)
        self.labels = random.permutation(np.arange(n) % 3)
        means = np.random.default_rng(9).normal(size=(3, 8))
        self.rows = (means[self.labels] + random.normal(size=(n, 8))).astype(np.float32)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return {"rows": self.rows[index], "labels": self.labels[index]}


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(8, 4)
        self.head = torch.nn.Linear(4, 3)
        self.loss = HybridLoss(num_classes=3)

    def forward(self, rows, labels=None):
        embeddings = self.layer(rows)
        logits = self.head(embeddings)
        found = {"logits": logits, "embeddings": embeddings}
        return found if labels is None else {"loss": self.loss(embeddings, labels, logits), **found}


def trainer(folder, model=None, evaluated=None, **options):
    settings = {
        "num_train_epochs": 2,
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
    }
    settings |= {"per_device_train_batch_size": 10, "per_device_eval_batch_size": 7, "learning_rate": 0.05}
    arguments = transformers.TrainingArguments(str(folder), disable_tqdm=True, **{**settings, **options})
    return transformers.Trainer(
        model or Encoder(), arguments, train_dataset=Rows(), eval_dataset=evaluated or Rows(seed=1)
    )


def expected(model, data, **options):
    model.eval()
    with torch.no_grad():
        return embq.score(model.layer(torch.tensor(data.rows)).numpy(), data.labels, **options)


def test_train_logs_the_numbers_of_all_evaluated_rows(tmp_path):
    training = trainer(tmp_path, save_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="silhouette")
    callback = EmbeddingQualityCallback(training)
    training.add_callback(callback)
    training.train()
    values = [line["eval_silhouette"] for line in training.state.log_history if "eval_silhouette" in line]
    assert len(values) == 2 and values[1] > values[0]
    assert training.state.best_metric == pytest.approx(max(values))
    metrics = training.evaluate()
    result = expected(training.model, training.eval_dataset)
    assert callback.result.silhouette == result.silhouette
    for name, value in result.metrics.items():
        assert (metrics[f"eval_{name}"] == value) if value is not None else (f"eval_{name}" not in metrics), name


def test_options_and_several_data_sets(tmp_path):
    data = {"near": Rows(seed=1), "far": Rows(n=33, seed=2)}
    training = trainer(tmp_path, evaluated=data)
    training.add_callback(EmbeddingQualityCallback(training, log=["silhouette"], metric="euclidean"))
    metrics = training.evaluate()
    for name, rows in data.items():
        value = expected(training.model, rows, metric="euclidean").silhouette
        assert metrics[f"eval_{name}_silhouette"] == pytest.approx(value)
    assert not [name for name in metrics if "soft" in name]


def test_smoothed_labels(tmp_path):
    # The trainer then does not pass labels to the model.
    class Plain(Encoder):
        config = transformers.PretrainedConfig()

        def forward(self, rows):
            embeddings = self.layer(rows)
            return {"logits": self.head(embeddings), "embeddings": embeddings}

    training = trainer(
        tmp_path, Plain(), label_smoothing_factor=0.1, label_names=["labels"], remove_unused_columns=False
    )
    training.add_callback(EmbeddingQualityCallback(training, log=["silhouette"]))
    metrics = training.evaluate()
    assert metrics["eval_silhouette"] == pytest.approx(expected(training.model, training.eval_dataset).silhouette)


def test_a_model_of_transformers_with_mean_pooling(tmp_path):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=2,
        output_hidden_states=True,
    )
    model = transformers.BertForSequenceClassification(config)
    random = np.random.default_rng(0)
    data = []
    for row in range(24):
        ids, length = random.integers(0, 15, 8) + 15 * (row % 2), 3 + row % 5
        data.append({"input_ids": ids, "attention_mask": (np.arange(8) < length).astype(int), "labels": row % 2})
    arguments = transformers.TrainingArguments(
        str(tmp_path), num_train_epochs=1, eval_strategy="epoch", report_to=[], use_cpu=True, disable_tqdm=True
    )
    training = transformers.Trainer(model, arguments, train_dataset=data, eval_dataset=data)
    training.add_callback(EmbeddingQualityCallback(training, embeddings=mean_pooling, log=["silhouette"]))
    training.train()
    metrics = training.evaluate()
    model.eval()
    rows = []
    with torch.no_grad():
        for item in data:
            ids = torch.tensor(item["input_ids"][: item["attention_mask"].sum()])[None]
            rows.append(model(input_ids=ids).hidden_states[-1][0].mean(0).numpy())
    value = embq.score(np.stack(rows), np.array([item["labels"] for item in data])).silhouette
    assert metrics["eval_silhouette"] == pytest.approx(value, abs=1e-5)


def test_a_prediction_leaves_no_rows_behind(tmp_path):
    training = trainer(tmp_path)
    training.add_callback(EmbeddingQualityCallback(training, log=["silhouette"]))
    training.predict(Rows(seed=3))
    metrics = training.evaluate()
    assert metrics["eval_silhouette"] == expected(training.model, training.eval_dataset).silhouette


def test_what_is_missing_is_named(tmp_path):
    training = trainer(tmp_path)
    training.add_callback(EmbeddingQualityCallback(training, embeddings="pooled"))
    with pytest.raises(ValueError, match=r"no 'pooled' among the model's outputs \(loss, logits, embeddings\)"):
        training.evaluate()
    training = trainer(tmp_path)
    training.add_callback(EmbeddingQualityCallback(training, labels="classes"))
    with pytest.raises(ValueError, match=r"no 'classes' among the model's inputs \(rows, labels\)"):
        training.evaluate()
    with pytest.raises(ValueError, match="output_hidden_states = True"):
        mean_pooling({"logits": torch.zeros(2, 2)}, {})
    training = trainer(tmp_path)
    training.add_callback(EmbeddingQualityCallback(training, log=["silhuette"]))
    with pytest.raises(KeyError, match="did not compute silhuette"):
        training.evaluate()


def test_a_model_that_has_diverged_warns_and_trains_on(tmp_path):
    training = trainer(tmp_path)
    callback = EmbeddingQualityCallback(training)
    training.add_callback(callback)
    with torch.no_grad():
        training.model.layer.weight.fill_(float("nan"))
    with pytest.warns(RuntimeWarning, match="embq could not score these embeddings: .+"):
        metrics = training.evaluate()
    assert callback.result is None and "eval_silhouette" not in metrics and "eval_loss" in metrics


PROCESS = """
import json, sys
sys.path.insert(0, {tests!r})
import test_transformers as tests

training = tests.trainer({folder!r}, evaluated=tests.Rows(n=25, seed=1))
training.add_callback(tests.EmbeddingQualityCallback(training, log=["silhouette"]))
found = training.evaluate()["eval_silhouette"]
value = tests.expected(training.model, training.eval_dataset).silhouette
print(json.dumps([found, value, training.args.world_size]))
"""


def test_two_processes_score_every_row_once(tmp_path):
    # 25 rows in batches of 2 x 7: accelerate repeats rows to fill the last batch.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = PROCESS.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    common = {
        **os.environ,
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={**common, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    outputs = [process.communicate(timeout=300) for process in processes]
    for process, (output, errors) in zip(processes, outputs):
        assert process.returncode == 0, errors
        found, value, processes_seen = json.loads(output.splitlines()[-1])
        assert processes_seen == 2
        assert found == pytest.approx(value, rel=1e-5)


def test_the_examples_of_the_documentation():
    import embq.transformers

    assert doctest.testmod(embq.transformers).failed == 0
