"""The random numbers of rand_chacha's ChaCha8Rng, so that train_head.py draws the same as the Rust example."""

import numpy as np

ROTATIONS = (16, 12, 8, 7)
COLUMNS = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
DIAGONALS = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]


class ChaCha8:
    """ChaCha with 8 rounds (Bernstein 2008), a 64-bit counter and the seed expanded as in rand_core."""

    def __init__(self, seed):
        self.key = _expanded(seed)
        self.block = 0
        self.words = np.empty(0, np.uint64)

    def numbers(self, count):
        """The next 64-bit numbers."""
        while len(self.words) < count:
            self.words = np.concatenate([self.words, self._blocks(max(64, (count - len(self.words)) // 8 + 1))])
        taken, self.words = self.words[:count], self.words[count:]
        return taken

    def uniform(self, count):
        """Numbers in [0, 1)."""
        return (self.numbers(count) >> np.uint64(11)).astype(np.float64) / 2.0**53

    def normal(self, count):
        """Standard normal numbers (Box and Muller)."""
        pairs = self.uniform(2 * count).reshape(-1, 2)
        return np.sqrt(-2 * np.log(1 - pairs[:, 0])) * np.cos(2 * np.pi * pairs[:, 1])

    def shuffled(self, n):
        """0 to n - 1 in random order (Fisher and Yates)."""
        order = list(range(n))
        for last, number in zip(range(n - 1, 0, -1), self.uniform(n - 1)):
            other = int(number * (last + 1))
            order[last], order[other] = order[other], order[last]
        return order

    def _blocks(self, count):
        """Eight numbers per block."""
        counters = np.arange(self.block, self.block + count, dtype=np.uint64)
        self.block += count
        start = np.zeros((16, count), np.uint32)
        start[:4] = np.frombuffer(b"expand 32-byte k", "<u4")[:, None]
        start[4:12] = self.key[:, None]
        start[12] = counters & np.uint64(0xFFFFFFFF)
        start[13] = counters >> np.uint64(32)
        state = start.copy()
        for _ in range(4):
            for places in (*COLUMNS, *DIAGONALS):
                _quarter_round(state, *places)
        words = (state + start).T.astype(np.uint64).reshape(-1, 2)
        return words[:, 0] | words[:, 1] << np.uint64(32)


def _quarter_round(state, a, b, c, d):
    for (target, source, turned), bits in zip(((a, b, d), (c, d, b), (a, b, d), (c, d, b)), ROTATIONS):
        state[target] += state[source]
        mixed = state[turned] ^ state[target]
        state[turned] = mixed << np.uint32(bits) | mixed >> np.uint32(32 - bits)


def _expanded(seed):
    """A 256-bit key from a 64-bit seed, by PCG32."""
    mask = (1 << 64) - 1
    words = []
    for _ in range(8):
        seed = (seed * 0x5851F42D4C957F2D + 0xA17654E46FBE17F3) & mask
        mixed = (((seed >> 18) ^ seed) >> 27) & 0xFFFFFFFF
        turn = seed >> 59
        words.append((mixed >> turn | mixed << (-turn & 31)) & 0xFFFFFFFF)
    return np.array(words, np.uint32)
