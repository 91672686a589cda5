"""Values that can be made again from a key and a version, so that every byte of a restored server can be compared."""

import random

VALUE_BYTES = 10 * 1024
PIPELINE = 64


def value_of(key, version):
    return random.Random(f"{key}:{version}").randbytes(VALUE_BYTES)


def batches(keys):
    for start in range(0, len(keys), PIPELINE):
        yield keys[start:start + PIPELINE]


def fill(client, keys, version, progress=lambda done, total: None):
    done = 0
    for batch in batches(keys):
        for reply in client.pipeline([("SET", f"key:{k}", value_of(k, version)) for k in batch]):
            if reply != b"OK":
                raise RuntimeError(f"SET failed: {reply}")
        done += len(batch)
        progress(done, len(keys))


def differences(client, version_of_key, progress=lambda done, total: None):
    """The keys whose value is not that of their version; version_of_key: {key: version}."""
    wrong = []
    done = 0
    for batch in batches(sorted(version_of_key)):
        replies = client.pipeline([("GET", f"key:{k}") for k in batch])
        wrong += [k for k, reply in zip(batch, replies) if reply != value_of(k, version_of_key[k])]
        done += len(batch)
        progress(done, len(version_of_key))
    return wrong
