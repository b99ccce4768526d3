"""Comparing what was said with what was understood."""

import re

_SAME = {"mr": "mister", "five": "5", "one": "1"}


def words(text):
    """The words of ``text`` as said, whatever their spelling."""
    plain = re.sub(r"[^a-z0-9 ]", "", re.sub(r"[-—]", " ", text.lower()))
    return [_SAME.get(word, word) for word in plain.replace("good bye", "goodbye").split()]


def errors(said, understood):
    """How many words were left out, put in or taken for others (Levenshtein)."""
    row = list(range(len(understood) + 1))
    for i, word in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(understood, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]
