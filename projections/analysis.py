"""The analyser: text in, tokens out, the same for documents and queries and for every engine.

Engines get tokens joined by blanks and split them at blanks again, so two engines rank alike and none needs a
language of its own. Identifiers are split (`listOpenIssues`, `list_open_issues`), case and accents folded, English
words stemmed (Snowball); Chinese, Japanese, Korean and other scripts without blanks become overlapping pairs.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice, pairwise

import snowballstemmer

TOKENS_PER_DOCUMENT_MAX = 4000
"""The rest of a longer text is not searched."""

TOKENS_PER_QUERY_MAX = 64
"""Different tokens of one query that are looked for; the rest is left out."""

TOKEN_LENGTH_MAX = 64
"""Longer words are cut, the same way in documents and queries."""

STEMS_CACHED_MAX = 50_000

STOP_WORDS = frozenset(
    "a an and are as at be by for from in is it of on or that the this to with".split()  # noqa: SIM905 - one line
)

# Thai, Lao, Myanmar and Khmer; kana; Han; Hangul.
_PAIRED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
)
_RUN = re.compile(rf"(?P<pairs>[{_PAIRED}\U00020000-\U0003ffff]+)|(?P<word>[^\W_]+)")

# Where one word of an identifier ends: aB, ABc (before Bc), and 1a. Digits stay with the letters before them (`s3`).
_SEAM = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[0-9])(?=[A-Za-z])")

_ACCENTS = re.compile(r"[\u0300-\u036f]+")


def words(text: str) -> Iterator[str]:
    """The tokens of `text` in order, stop words and repeats included."""
    for run in _RUN.finditer(_without_accents(unicodedata.normalize("NFKC", text))):
        if run.lastgroup == "pairs":
            yield from _pairs(run[0])
        else:
            for part in _SEAM.split(run[0]):
                yield stem(part.casefold()[:TOKEN_LENGTH_MAX])


def prose(text: str) -> Iterator[str]:
    """The tokens of sentences: `words` without the stop words."""
    return (word for word in words(text) if word not in STOP_WORDS)


def query_tokens(text: str) -> list[str]:
    """What to look for: different tokens without stop words, unless there is nothing else."""
    found = list(dict.fromkeys(words(text)))
    wanted = [word for word in found if word not in STOP_WORDS] or found
    return wanted[:TOKENS_PER_QUERY_MAX]


def flat_text(tokens: Iterator[str]) -> str:
    """Tokens as a document stores them."""
    return " ".join(islice(tokens, TOKENS_PER_DOCUMENT_MAX))


@lru_cache(maxsize=STEMS_CACHED_MAX)
def stem(word: str) -> str:
    """The English stem of a lower-case word; stop words stay what they are."""
    if word in STOP_WORDS:
        return word
    # A stemmer keeps the word that it works on, so each call has its own: threads may stem at the same time.
    return str(snowballstemmer.stemmer("english").stemWord(word))


def _pairs(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    for first, second in pairwise(run):
        yield first + second


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    # Marks of other scripts (such as Japanese voicing) are letters there, so only the Latin range of marks goes.
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))
