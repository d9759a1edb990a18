from collections import Counter

from bench.development_set import HEADLINE, OTHERS, read_questions, read_traces


def test_every_expected_trace_is_there() -> None:
    labels = Counter(trace["id"] for trace in read_traces())
    questions = read_questions()
    assert (len(labels), set(labels.values()), len(questions)) == (180, {1}, 546)
    assert all(question.expected <= labels.keys() for question in questions)
    kinds = {question.kind for question in questions}
    assert kinds == {*HEADLINE, *OTHERS, "none"}
    assert all((question.kind == "none") == (not question.expected) for question in questions)
