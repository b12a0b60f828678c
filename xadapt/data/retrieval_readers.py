"""Readers of retrieval from a pool: BUCC's corpora, LAReQA's answer sentences, Mewsli-X's entities."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xadapt.common.errors import UserError
from xadapt.data.json_fields import field, json_lines, parsed
from xadapt.data.reading import Reading, check_ids, id_twice
from xadapt.data.text import lines_of, text_of
from xadapt.tasks.examples import Sought
from xadapt.tasks.task import Task

BRACED = re.compile(r"\{(.*?)\}")


def bucc(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """BUCC's files: the sentences of the language, those in English, and the gold pairs, if any.

    A sentence is an id, a tab and its text; a gold pair is two ids between a tab.

    Raises:
        UserError: another number of columns, an id twice, a gold pair whose id is in neither file.
    """
    foreign, english = (_sentences(path) for path in paths[:2])
    answers: dict[str, list[str]] | None = None
    if len(paths) > 2:
        gold = paths[2]
        answers = {}
        for line, (source, target) in _two_columns(gold, "the id of a sentence and of its translation"):
            for identifier, known, path in ((source, foreign, paths[0]), (target, english, paths[1])):
                if identifier not in known:
                    raise UserError(
                        f"{identifier!r} is not in {path.name}",
                        expected="the ids of a sentence and of its English translation",
                        do="download the files of this pair of languages together",
                        path=gold,
                        line=line,
                    )
            if target in answers.setdefault(source, []):
                raise UserError(
                    f"the pair {source} {target} a second time",
                    expected="every pair once",
                    do="download it again",
                    path=gold,
                    line=line,
                )
            answers[source].append(target)
    examples = [
        Sought(name, "query", text, "", None if answers is None else tuple(answers.get(name, ())))
        for name, text in foreign.items()
    ]
    examples += [Sought(name, "candidate", text, "", None) for name, text in english.items()]
    return Reading(examples, labelled=answers is not None)


def lareqa(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """LAReQA's files, the wanted language's first: its questions, and the sentences of all paragraphs of
    all files. A question's answers are the sentences that hold its answer, one in each file that has it.

    Ids are those of XTREME-R's script: ``<question>_<language>`` and
    ``<language>_<paragraph>_<sentence>``, paragraphs counted from 1, sentences from 0.

    Raises:
        UserError: broken JSON, a missing field, an id twice, an answer in no sentence.
    """
    queries: list[tuple[str, str]] = []
    candidates: list[Sought] = []
    answers: dict[str, list[str]] = {}
    for path in paths:
        language = path.stem
        content = parsed(text_of(path), path, 1)
        paragraphs = [
            (f"data[{i}].paragraphs[{j}]", paragraph)
            for i, article in enumerate(field(content, "data", list, "the file", path))
            for j, paragraph in enumerate(field(article, "paragraphs", list, f"data[{i}]", path))
        ]
        seen: set[str] = set()
        for number, (where, paragraph) in enumerate(paragraphs, 1):
            context = field(paragraph, "context", str, where, path)
            breaks = field(paragraph, "sentence_breaks", list, where, path)
            sentences = [context[start:end] for start, end in breaks]
            names = [f"{language}_{number}_{i}" for i in range(len(sentences))]
            candidates += [
                Sought(name, "candidate", sentence, context, None)
                for name, sentence in zip(names, sentences, strict=True)
            ]
            for k, qa in enumerate(field(paragraph, "qas", list, where, path)):
                spot = f"{where}.qas[{k}]"
                question = str(field(qa, "id", (str, int), spot, path))
                if question in seen:
                    raise id_twice(question, path)
                seen.add(question)
                if path == paths[0]:
                    queries.append((question, field(qa, "question", str, spot, path)))
                given = field(qa, "answers", list, spot, path)
                if len(given) != 1:
                    raise UserError(
                        f"question {question!r} has {len(given)} answers",
                        expected="one: XQuAD's",
                        do="is this a file of xquad-r/?",
                        path=path,
                    )
                start = field(given[0], "answer_start", int, f"{spot}.answers[0]", path)
                held = next((s for (a, b), s in zip(breaks, sentences, strict=True) if a <= start < b), None)
                if held is None:
                    raise UserError(
                        f"the answer of question {question!r} at character {start} is in no sentence",
                        expected="a sentence of 'sentence_breaks' around it",
                        do="download the file again",
                        path=path,
                    )
                answers.setdefault(question, []).extend(
                    name for name, sentence in zip(names, sentences, strict=True) if sentence == held
                )
    own = paths[0].stem
    examples = [Sought(f"{name}_{own}", "query", text, "", tuple(answers[name])) for name, text in queries]
    return Reading([*examples, *candidates], labelled=True)


def mentions(paths: Sequence[Path], task: Task, split: str, language: str) -> Reading:
    """Mewsli-X: the mentions in news of one language, and beside them all the entities.

    Raises:
        UserError: broken JSON, a missing field, a mention that is not where it says, no article in
            the language, an entity twice or missing.
    """
    queries: list[Sought] = []
    for line, row in json_lines(paths[0]):
        context = field(row, "context", dict, "the row", paths[0], line=line)
        if field(context, "language", str, "context", paths[0], line=line) == language:
            for mention in field(row, "mentions", list, "the row", paths[0], line=line):
                queries.append(_mention(context, mention, paths[0], line))
    if not queries:
        raise UserError(f"no mention in {language!r}", expected="some", do="download it again", path=paths[0])
    check_ids(queries, paths[0])
    entities = [_entity(row, paths[1], line) for line, row in json_lines(paths[1])]
    check_ids(entities, paths[1])
    known = {entity.id for entity in entities}
    for query in queries:
        if lost := set(query.answers or ()) - known:
            raise UserError(
                f"{lost.pop()}, which mention {query.id} means, is not in {paths[1].name}",
                expected="every entity among the candidates",
                do="take both files from one release of Mewsli-X",
                path=paths[0],
            )
    return Reading([*queries, *entities], labelled=True)


def entity_pairs(paths: Sequence[Path], task: Task, split: str) -> Reading:
    """Mewsli-X: mentions in English Wikipedia, each with its entity; the entities are the candidates.

    Raises:
        UserError: broken JSON, a missing field, a mention that is not where it says, an id twice.
    """
    path = paths[0]
    queries: list[Sought] = []
    entities: dict[str, Sought] = {}
    for line, row in json_lines(path):
        held = field(row, "contextual_mention", dict, "the row", path, line=line)
        context = field(held, "context", dict, "contextual_mention", path, line=line)
        mention = field(held, "mention", dict, "contextual_mention", path, line=line)
        queries.append(_mention(context, mention, path, line))
        entity = _entity(field(row, "entity", dict, "the row", path, line=line), path, line)
        if queries[-1].answers != (entity.id,):
            meant = " ".join(queries[-1].answers or ())
            raise UserError(
                f"mention {queries[-1].id} means {meant}, beside it is {entity.id}",
                expected="the entity that it means",
                do="download the file again",
                path=path,
                line=line,
            )
        entities.setdefault(entity.id, entity)
    check_ids(queries, path)
    return Reading([*queries, *entities.values()], labelled=True)


def _mention(context: dict[str, Any], mention: Any, path: Path, line: int) -> Sought:
    """A mention as XTREME-R's script writes it: the mention, a colon, and its sentence with the mention
    in braces; braces of the text become round."""
    text = field(context, "text", str, "context", path, line=line)
    span = field(mention, "mention_span", dict, "a mention", path, line=line)
    start, end = (field(span, name, int, "mention_span", path, line=line) for name in ("start", "end"))
    words = field(span, "text", str, "mention_span", path, line=line)
    name = field(mention, "example_id", str, "a mention", path, line=line)
    if text[start:end] != words:
        raise UserError(
            f"mention {name}: at characters {start} to {end} stands {text[start:end]!r}",
            expected=repr(words),
            do="the articles' texts must be filled in: run Mewsli-X's get-mewsli-x.sh to its end",
            path=path,
            line=line,
        )
    low, high = _sentence(context, start, end, len(text), path, line)
    left, right = (BRACED.sub(r"(\1)", part) for part in (text[low:start], text[end:high]))
    shown = _flat(f"{words}: {left} {{ {words} }} {right}")
    return Sought(name, "query", shown, "", (field(mention, "entity_id", str, "a mention", path, line=line),))


def _sentence(
    context: dict[str, Any], start: int, end: int, length: int, path: Path, line: int
) -> tuple[int, int]:
    """The sentence around a mention; all of the text where the mention is in no single one."""
    for span in field(context, "sentence_spans", list, "context", path, line=line):
        low, high = (field(span, name, int, "a sentence", path, line=line) for name in ("start", "end"))
        if low <= start and end <= high:
            return low, high
    return 0, length


def _entity(row: Any, path: Path, line: int) -> Sought:
    name = field(row, "entity_id", str, "the entity", path, line=line)
    return Sought(
        name, "candidate", _flat(field(row, "description", str, "the entity", path, line=line)), "", None
    )


def _flat(text: str) -> str:
    return " ".join(text.split())


def _sentences(path: Path) -> dict[str, str]:
    """Id -> text."""
    result: dict[str, str] = {}
    for line, (identifier, text) in _two_columns(path, "an id and a sentence"):
        if identifier in result:
            raise id_twice(identifier, path, line)
        result[identifier] = text
    return result


def _two_columns(path: Path, what: str) -> list[tuple[int, list[str]]]:
    rows = [(number, line.split("\t", 1)) for number, line in enumerate(lines_of(path), 1)]
    for number, columns in rows:
        if len(columns) != 2 or not all(column.strip() for column in columns):
            raise UserError(
                f"got {'<tab>'.join(columns)[:60]!r}",
                expected=f"{what}, a tab between them",
                do="download the file again",
                path=path,
                line=number,
            )
    return rows
