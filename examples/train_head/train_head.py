#!/usr/bin/env python3
"""The experiment of main.rs with embq.torch: the same rows, wrong labels, initial weights and batches.

pip install 'embq[torch]'
python3 examples/train_head/train_head.py
python3 examples/train_head/train_head.py embeddings.npy labels.npy --per-class 5,20 --noise 0,0.2
"""

import argparse
import csv
import math
import statistics
import time

import numpy as np
import torch
from chacha import ChaCha8

from embq.torch import HybridLoss, SoftSilhouetteLoss

HIDDEN, DIMENSIONS, RATE, NEIGHBOURS = 128, 32, 1e-3, 5

# Name, and the weights of cross-entropy, silhouette and SupCon.
OBJECTIVES = {
    "CE": (1, 0, 0),
    "CE + Sil": (1, 1, 0),
    "CE + SupCon": (1, 0, 1),
    "CE + Sil + SupCon": (1, 1, 1),
    "Sil": (0, 1, 0),
    "SupCon": (0, 0, 1),
}


class Encoder(torch.nn.Module):
    """A network with one hidden layer and a linear head, with He initialisation."""

    def __init__(self, inputs, classes, random):
        super().__init__()
        self.first = torch.nn.Linear(inputs, HIDDEN)
        self.second = torch.nn.Linear(HIDDEN, DIMENSIONS)
        self.head = torch.nn.Linear(DIMENSIONS, classes)
        with torch.no_grad():
            for layer in (self.first, self.second):
                layer.weight.copy_(_drawn(layer.in_features, layer.out_features, layer.in_features, random).T)
            self.head.weight.copy_(_drawn(classes, DIMENSIONS, DIMENSIONS, random))
            for layer in (self.first, self.second, self.head):
                layer.bias.zero_()

    def forward(self, rows):
        return self.second(torch.relu(self.first(rows)))


def _drawn(rows, columns, fan_in, random):
    return torch.tensor(math.sqrt(2 / fan_in) * random.normal(rows * columns).reshape(rows, columns))


def read(embeddings, labels):
    """The rows, centred and scaled to a root mean square of 1, and class codes in order of appearance."""
    rows = np.load(embeddings).astype(np.float64)
    rows -= rows.mean(0)
    codes = {}
    classes = [codes.setdefault(label, len(codes)) for label in np.load(labels).tolist()]
    return torch.tensor(rows / np.sqrt((rows**2).mean()), dtype=torch.float32), classes


def split(rows, labels, per_class, noise, test_rows, seed):
    """Rows for training, some with wrong labels, and rows for testing."""
    random = ChaCha8(seed)
    classes = max(labels) + 1
    taken, train, test = [0] * classes, [], []
    for row in random.shuffled(len(labels)):
        if taken[labels[row]] < per_class:
            taken[labels[row]] += 1
            train.append(row)
        elif len(test) < test_rows:
            test.append(row)
    train_labels = []
    for row in train:
        label = labels[row]
        if random.uniform(1)[0] < noise:
            other = int(random.uniform(1)[0] * (classes - 1))
            label = other + 1 if other >= label else other
        train_labels.append(label)
    of_test = torch.tensor([labels[row] for row in test])
    return rows[train], torch.tensor(train_labels), rows[test], of_test, classes


def run(weights, parts, steps, batch_size, seed):
    """Trains with an objective and tests: accuracy, k-NN accuracy, silhouette, milliseconds per step."""
    train, train_labels, test, test_labels, classes = parts
    random = ChaCha8(1000 + seed)
    encoder = Encoder(train.shape[1], classes, random)
    loss = HybridLoss(*weights, temperature=0.1, supcon_temperature=0.1, num_classes=classes)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=RATE)
    waiting = []
    start = time.perf_counter()
    for _ in range(steps):
        waiting = waiting or random.shuffled(len(train))
        batch, waiting = waiting[:batch_size], waiting[batch_size:]
        embeddings = encoder(train[batch])
        optimizer.zero_grad()
        loss(embeddings, train_labels[batch], encoder.head(embeddings) if weights[0] else None).backward()
        optimizer.step()
    milliseconds = 1e3 * (time.perf_counter() - start) / steps
    with torch.no_grad():
        gallery = torch.nn.functional.normalize(encoder(train))
        embeddings = encoder(test)
        queries = torch.nn.functional.normalize(embeddings)
        if weights[0]:
            predicted = encoder.head(embeddings).argmax(1)
        else:
            sums = torch.zeros(classes, DIMENSIONS).index_add(0, train_labels, gallery)
            predicted = (queries @ torch.nn.functional.normalize(sums).T).argmax(1)
        silhouette = 1 - SoftSilhouetteLoss(softmin="hard", softmax="hard")(embeddings.double(), test_labels)
        accuracy = (predicted == test_labels).double().mean()
        knn = (nearest(queries @ gallery.T, train_labels, classes) == test_labels).double().mean()
    return accuracy.item(), knn.item(), silhouette.item(), milliseconds


def nearest(similarities, labels, classes):
    """The majority class of the nearest rows; on a tie, the class of the nearest one."""
    near = labels[similarities.argsort(dim=1, descending=True, stable=True)[:, :NEIGHBOURS]]
    votes = torch.nn.functional.one_hot(near, classes).sum(1).gather(1, near)
    # The first of the largest.
    return near.gather(1, votes.eq(votes.amax(1, keepdim=True)).int().argmax(1, keepdim=True)).squeeze(1)


def table(outcomes):
    """Means and deviations, and the difference from cross-entropy alone, paired by seed, with its standard error."""
    lines = [
        "| objective | accuracy % | less CE | k-NN % | less CE | silhouette | ms a step |",
        "|---" + "|--:" * 6 + "|",
    ]
    for name, own in outcomes.items():
        cells = [name]
        for measure in (0, 1):
            values = [100 * outcome[measure] for outcome in own]
            differences = [value - 100 * base[measure] for value, base in zip(values, outcomes["CE"])]
            cells.append(f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}")
            standard_error = statistics.stdev(differences) / math.sqrt(len(own))
            cells.append("" if name == "CE" else f"{statistics.mean(differences):+.1f} ({standard_error:.1f})")
        silhouettes = [outcome[2] for outcome in own]
        cells.append(f"{statistics.mean(silhouettes):.3f} ± {statistics.stdev(silhouettes):.3f}")
        cells.append(f"{statistics.mean(outcome[3] for outcome in own):.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", nargs="?", default="fixtures/digits/embeddings.npy")
    parser.add_argument("labels", nargs="?", default="fixtures/digits/labels.npy")
    parser.add_argument("--per-class", default="5,20", help="training rows of each class")
    parser.add_argument("--noise", default="0,0.4", help="share of wrong training labels")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--test-rows", type=int, default=2000)
    parser.add_argument("--output", help="write every run as CSV")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("a deviation takes at least 2 seeds")
    torch.set_num_threads(1)
    rows, labels = read(arguments.embeddings, arguments.labels)
    lines = [("per_class", "noise", "objective", "seed", "accuracy", "knn_accuracy", "silhouette", "milliseconds")]
    for per_class in map(int, arguments.per_class.split(",")):
        for noise in map(float, arguments.noise.split(",")):
            outcomes = {name: [] for name in OBJECTIVES}
            for seed in range(arguments.seeds):
                parts = split(rows, labels, per_class, noise, arguments.test_rows, seed)
                for name, weights in OBJECTIVES.items():
                    outcome = run(weights, parts, arguments.steps, arguments.batch_size, seed)
                    outcomes[name].append(outcome)
                    lines.append((per_class, f"{noise:g}", name, seed, *outcome))
            print(f"{per_class} rows a class, {100 * noise:.0f} % wrong labels\n\n{table(outcomes)}\n", flush=True)
    if arguments.output:
        with open(arguments.output, "w", newline="") as file:
            csv.writer(file).writerows(lines)


if __name__ == "__main__":
    main()
