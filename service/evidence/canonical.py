"""One byte string for one JSON value, so that it can be hashed or signed."""

import json


def canonical_json(value: object) -> bytes:
    """UTF-8 JSON with sorted keys and no white space.

    Raises:
        TypeError: the value holds something that JSON has no form for, a date for instance.
        ValueError: it holds NaN or an infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()
