import json
import os
from pathlib import Path
from typing import Any

import pytest

from superalign.domains.instructions.checks import KINDS, variants, verify
from superalign.domains.instructions.languages import CODES, language
from superalign.domains.instructions.sentences import sentences

DATA = Path(os.environ.get("SUPERALIGN_DATA") or Path(__file__).parents[3] / "shared" / "data")
ENGLISH = "The river runs slowly past the old mill. We walked along it until the rain began."
GERMAN = "Der Fluss zieht langsam an der alten Mühle vorbei. Wir gingen am Ufer entlang, bis der Regen begann."

CASES: dict[str, list[tuple[dict[str, Any], list[str], list[str]]]] = {
    "keywords:existence": [
        ({"keywords": ["art", "c++ (old)"]}, ["Art in C++ (OLD)", "we start: c++ (old)"], ["art in c+", "c++ (old)"]),
    ],
    "keywords:frequency": [
        ({"keyword": "aa", "frequency": 2, "relation": "at least"}, ["aa AA", "aaaa"], ["aaa", "aa"]),
        ({"keyword": "a.b", "frequency": 1, "relation": "less than"}, ["axb", "b"], ["a.b", "xA.Bx"]),
    ],
    "keywords:forbidden_words": [
        ({"forbidden_words": ["art", "no way"]}, ["start", "no, way"], ["Art!", "there is NO WAY"]),
        ({"forbidden_words": ["a.b"]}, ["axb", "a.bc"], ["a.b", "see A.B?"]),
    ],
    "keywords:letter_frequency": [
        ({"letter": "Q", "let_frequency": 2, "let_relation": "at least"}, ["qQ", "quite quiet"], ["q", "none"]),
        ({"letter": "#", "let_frequency": 2, "let_relation": "less than"}, ["#", "a"], ["##", "# a #"]),
    ],
    "language:response_language": [
        ({"language": "de"}, [GERMAN, GERMAN.upper()], [ENGLISH, "123 ... 456"]),
    ],
    "length_constraints:number_sentences": [
        ({"num_sentences": 2, "relation": "at least"}, ["One. Two.", "One! And two"], ["One, two.", "Dr. Who e.g. here"]),
        ({"num_sentences": 2, "relation": "less than"}, ["One.", "no stop"], ["One. Two.", "One? Two! Three."]),
    ],
    "length_constraints:number_paragraphs": [
        ({"num_paragraphs": 2}, ["a\n***\nb", "***a***b***"], ["a\n\nb", "a\n***\n\n***\nb"]),
    ],
    "length_constraints:number_words": [
        ({"num_words": 3, "relation": "at least"}, ["one two three", "don't go"], ["one two", "one-two !"]),
        ({"num_words": 3, "relation": "less than"}, ["one two", "* - *"], ["one two three", "don't go"]),
    ],
    "length_constraints:nth_paragraph_first_word": [
        (
            {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Send"},
            ["a\n\nsend it", 'a\nb\n\n"Send, it'],
            ["a\n\nI send", "a\n\nsend\n\nc", "a\n\n\n\nsend", "send\nsend"],
        ),
    ],
    "detectable_content:number_placeholders": [
        ({"num_placeholders": 2}, ["[a] and [b]", "[a][b][c]"], ["[a]", "[a\n] [b]", "[[a]] b]"]),
    ],
    "detectable_content:postscript": [
        ({"postscript_marker": "P.S."}, ["Bye.\nP.S. more", "bye p. s. more"], ["Bye.\nPS more", "P.S more"]),
        ({"postscript_marker": "P.P.S"}, ["Bye.\nP.P.S. more", "p. p. s"], ["Bye.\nP.S. more", "pps"]),
        ({"postscript_marker": "Note:"}, ["NOTE: this", "a note: b"], ["Note this", "a"]),
    ],
    "detectable_format:number_bullet_lists": [
        (
            {"num_bullets": 2},
            ["* a\n* b\n*", "- a\n  - b", "*\na\n* b", "*\n* a\n* b", "*\n\n*\n"],
            ["* a", "* a\n- b\n* c", "**a**\n**b**", "1. a\n2. b"],
        ),
    ],
    "detectable_format:constrained_response": [
        ({}, ["My answer is yes.", "Well. My answer is maybe. So"], ["my answer is yes.", "My answer is yes"]),
    ],
    "detectable_format:number_highlighted_sections": [
        ({"num_highlights": 2}, ["*a* and *b*", "**a** and *b*"], ["*a* b", "**a**", "*a\nb* c*", "** ** * *"]),
    ],
    "detectable_format:multiple_sections": [
        (
            {"section_spliter": "Section", "num_sections": 2},
            ["Section 1\na\nSection 2\nb", "Section1 Section 2 Section 3"],
            ["Section 1", "SECTION 1 SECTION 2", "Section A Section B"],
        ),
    ],
    "detectable_format:json_format": [
        ({}, ['{"a": [1]}', '```json\n{"a": 1}\n```', "```\n[]\n```", "9" * 5000], ["{'a': 1}", 'Here: {"a": 1}', "{}{}"]),
    ],
    "detectable_format:title": [
        ({}, ["<<a>>\nb", "b <<a b>>", "<<<<a>>>>", "<<>< >>"], ["<a>", "<<>>", "<< >>", "<<<< >>", "<<a\n>>", ">>a<<"])
    ],
    "combination:two_responses": [
        ({}, ["a******b", "******a\n******\nb******"], ["a***b", "a******a", "a******b******c", "a************b"]),
    ],
    "combination:repeat_prompt": [
        ({"prompt_to_repeat": "Say A. "}, ["say a. A", " Say A.\nSo"], ["A. Say A.", "Say B."]),
    ],
    "startend:end_checker": [
        ({"end_phrase": " The end."}, ["Yes. the end.", 'He said "The end."\n'], ["The end. Yes", "The end!"]),
    ],
    "startend:quotation": [({}, ['"a"', ' "a\nb"\n'], ['"', 'a "b"', "\u201ca\u201d"])],
    "change_case:capital_word_frequency": [
        (
            {"capital_frequency": 2, "capital_relation": "at least"},
            ["NASA, YES!", "I'm an A-B person", "**DON'T**"],
            ["NASA said", "A-B", "Yes We"],
        ),
        ({"capital_frequency": 2, "capital_relation": "less than"}, ["NASA said", "A-B"], ["NASA YES", "(I) saw U.S. ships"]),
    ],
    "change_case:english_capital": [
        ({}, [ENGLISH.upper(), "MY ANSWER IS YES."], [ENGLISH, GERMAN.upper(), "123"]),
    ],
    "change_case:english_lowercase": [
        ({}, [ENGLISH.lower(), "my answer is yes."], [ENGLISH, GERMAN.lower(), "123"]),
    ],
    "punctuation:no_comma": [({}, ["a; b", "a\u060c b"], ["a, b", "1,000"])],
}

TEXTS = {
    "ar": "يمر النهر ببطء بجانب الطاحونة القديمة. مشينا على ضفته حتى بدأ المطر.",
    "bg": "Реката тече бавно покрай старата мелница. Вървяхме дълго, докато не започна да вали.",
    "bn": "নদীটি পুরনো কলের পাশ দিয়ে ধীরে বয়ে যায়। বৃষ্টি শুরু হওয়া পর্যন্ত আমরা তার তীর ধরে হেঁটেছিলাম।",
    "de": GERMAN,
    "en": ENGLISH,
    "es": "El río pasa despacio junto al viejo molino. Caminamos por la orilla hasta que empezó a llover.",
    "fa": "رودخانه آرام از کنار آسیاب قدیمی می‌گذرد. ما تا وقتی که باران شروع شد در کنار آن راه رفتیم.",
    "fi": "Joki virtaa hitaasti vanhan myllyn ohi. Kävelimme rantaa pitkin, kunnes alkoi sataa.",
    "fr": "La rivière passe lentement devant le vieux moulin. Nous avons marché jusqu'à ce que la pluie commence.",
    "gu": "નદી જૂની ઘંટી પાસેથી ધીમે ધીમે વહે છે. વરસાદ શરૂ થયો ત્યાં સુધી અમે કિનારે ચાલતા રહ્યા.",
    "he": "הנהר זורם לאט ליד הטחנה הישנה. הלכנו לאורך הגדה עד שהתחיל לרדת גשם.",
    "hi": "नदी पुरानी चक्की के पास से धीरे-धीरे बहती है। हम बारिश शुरू होने तक उसके किनारे चलते रहे।",
    "it": "Il fiume scorre lento davanti al vecchio mulino. Abbiamo camminato finché non ha cominciato a piovere.",
    "ja": "川は古い水車小屋のそばをゆっくり流れています。雨が降り出すまで、私たちは岸辺を歩きました。",
    "kn": "ನದಿಯು ಹಳೆಯ ಗಿರಣಿಯ ಪಕ್ಕದಲ್ಲಿ ನಿಧಾನವಾಗಿ ಹರಿಯುತ್ತದೆ. ಮಳೆ ಪ್ರಾರಂಭವಾಗುವವರೆಗೆ ನಾವು ದಡದ ಉದ್ದಕ್ಕೂ ನಡೆದೆವು.",
    "ko": "강은 오래된 방앗간 옆을 천천히 흐릅니다. 우리는 비가 내리기 시작할 때까지 강가를 걸었습니다.",
    "ml": "നദി പഴയ മില്ലിന് അരികിലൂടെ പതുക്കെ ഒഴുകുന്നു. മഴ തുടങ്ങുന്നതുവരെ ഞങ്ങൾ കരയിലൂടെ നടന്നു.",
    "mr": "नदी जुन्या गिरणीजवळून हळूहळू वाहते. पाऊस सुरू होईपर्यंत आम्ही तिच्या काठाने चालत राहिलो.",
    "ne": "नदी पुरानो घट्टको छेउबाट बिस्तारै बग्छ। पानी पर्न सुरु नभएसम्म हामी किनारै किनार हिँड्यौं।",
    "pa": "ਦਰਿਆ ਪੁਰਾਣੀ ਚੱਕੀ ਕੋਲੋਂ ਹੌਲੀ ਹੌਲੀ ਵਗਦਾ ਹੈ। ਮੀਂਹ ਸ਼ੁਰੂ ਹੋਣ ਤੱਕ ਅਸੀਂ ਕੰਢੇ ਕੰਢੇ ਤੁਰਦੇ ਰਹੇ।",
    "pl": "Rzeka płynie powoli obok starego młyna. Szliśmy wzdłuż brzegu, aż zaczął padać deszcz.",
    "pt": "O rio passa devagar junto ao velho moinho. Caminhamos pela margem até que a chuva começou.",
    "ru": "Река медленно течёт мимо старой мельницы. Мы долго шли рядом, пока не начался дождь.",
    "sw": "Mto unapita polepole kando ya kinu cha zamani. Tulitembea ukingoni mpaka mvua ilipoanza kunyesha.",
    "ta": "ஆறு பழைய ஆலையைக் கடந்து மெதுவாக ஓடுகிறது. மழை தொடங்கும் வரை நாங்கள் கரையோரம் நடந்தோம்.",
    "te": "నది పాత మిల్లు పక్కగా నెమ్మదిగా ప్రవహిస్తుంది. వర్షం మొదలయ్యే వరకు మేము ఒడ్డు వెంట నడిచాము.",
    "th": "แม่น้ำไหลช้าๆ ผ่านโรงสีเก่า เราเดินเลียบฝั่งไปจนกระทั่งฝนเริ่มตก",
    "uk": "Річка повільно тече повз старий млин. Ми довго йшли поруч, доки не почався дощ.",
    "ur": "دریا پرانی چکی کے پاس سے آہستہ آہستہ گزرتا ہے\u06d4 ہم بارش شروع ہونے تک اس کے کنارے چلتے رہے\u06d4",
    "vi": "Con sông chảy chậm qua cối xay cũ. Chúng tôi đi dọc theo bờ cho đến khi trời bắt đầu mưa.",
    "zh": "河水缓缓流过旧磨坊。我们沿着河岸一直走到开始下雨。",
}

HOSTILE = {
    "open brackets": "[" * 10**6,
    "asterisks": "*a" * 500_000,
    "open titles": "<" * 10**6,
    "stops": "." * 10**6,
    "initials": "A." * 500_000,
    "line ends": "\n" * 10**6 + "a",
    "a deep object": '{"a":' * 200_000,
    "surrogates": "\ud800 a. " * 200_000,
}


def target(*instructions: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"instruction_id_list": [name for name, _ in instructions], "kwargs": [kwargs for _, kwargs in instructions]}


def test_every_kind_of_the_benchmark_is_known() -> None:
    assert len(KINDS) == 25 and KINDS.keys() == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_kind_tells_the_texts_that_follow_it_from_those_that_do_not(name: str) -> None:
    for kwargs, follows, fails in CASES[name]:
        assert len(follows) >= 2 and len(fails) >= 2
        assert [text for text in follows if not KINDS[name](kwargs, text)] == []
        assert [text for text in fails if KINDS[name](kwargs, text)] == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("no stop", 1),
        ("A heading\n\nAnd its text. More", 2),
        ("Mr. Smith met J. K. Rowling in the U.S. Army. He left.", 2),
        ("She lives in the U.S. The rest do not.", 2),
        ("It costs 3.5 dollars at x.com. Buy", 2),
        ("Wait... what? Yes... So it is.", 3),
        ("So do I. Come!", 2),
        ("Is Dr. Who in? He left at 5 p.m. yesterday, or in 1999. then", 2),
        ("Wow!!! Really?! Yes.", 3),
        ('He said "Go." Then (he left.) **Bold.** End', 4),
        ("1. Wash.\n2. Dry.", 4),
        ("Hi! \U0001f600", 1),
        ("नमस्ते। यह है।", 2),
        ("\u597d\u3002\u597d\uff01", 2),
    ],
)
def test_sentences_end_at_stops_that_are_no_part_of_a_word(text: str, count: int) -> None:
    assert sentences(text) == count


@pytest.mark.parametrize("code", TEXTS)
def test_a_language_is_told_from_two_sentences(code: str) -> None:
    assert code in CODES and language(TEXTS[code]) == language(TEXTS[code].upper()) == code


def test_what_has_no_letters_is_in_no_language() -> None:
    assert language("") is language("123 \U0001f600 ... 456") is None


def test_a_title_is_in_the_language_of_its_words() -> None:
    assert language("The Cat And The Dog") == language("I Am Here") == "en"


def test_a_verdict_is_the_conjunction_of_what_is_followed() -> None:
    both = target(("punctuation:no_comma", {}), ("length_constraints:number_words", {"num_words": 2, "relation": "at least"}))
    seen = {}
    for text in ("a b", "a, b", "a", ","):
        mark = verify(both, text)
        assert verify(json.dumps(both), text) == mark
        seen[text] = mark.parsed, mark.error
    assert seen == {
        "a b": ("2 of 2", None),
        "a, b": ("1 of 2", "not followed: punctuation:no_comma (no comma)"),
        "a": ("1 of 2", "not followed: length_constraints:number_words (at least 2 words)"),
        ",": ("0 of 2", "not followed: punctuation:no_comma (no comma); length_constraints:number_words (at least 2 words)"),
    }


def test_an_empty_response_follows_nothing() -> None:
    for text in ("", " \n"):
        mark = verify(target(("punctuation:no_comma", {})), text)
        assert (mark.verdict, mark.parsed, mark.error, mark.loose) == (False, "0 of 1", "the response is empty", False)


def test_what_a_model_thinks_follows_and_breaks_nothing() -> None:
    short = target(("punctuation:no_comma", {}), ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}))
    assert verify(short, "<think>Well, one, two, three.</think>\n\na b").verdict is True
    assert verify(short, "Well, so.\n</think>\na b c d").verdict is False
    assert verify(short, "<think>a b").error == "the response is empty"
    third = target(("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "a"}))
    assert verify(third, "<think>x\n\ny</think>\n\na\n\nb").verdict is True


def test_loose_passes_over_the_first_line_the_last_line_and_asterisks() -> None:
    assert variants("a*\nb\nc") == ["a*\nb\nc", "b\nc", "a*\nb", "b", "a\nb\nc", "b\nc", "a\nb", "b"]
    quoted = target(("startend:quotation", {}))
    for text in ('Sure:\n"a"', '"a"\nBye', 'Sure:\n"a"\nBye', 'Sure:\n*"a"*'):
        assert (verify(quoted, text).verdict, verify(quoted, text).loose) == (False, True)
    assert verify(quoted, 'Sure:\nyes:\n"a"').loose is False


def test_instructions_may_each_be_followed_in_another_variant() -> None:
    both = target(("startend:quotation", {}), ("detectable_format:number_highlighted_sections", {"num_highlights": 1}))
    found = verify(both, '*"a"*')
    assert (found.verdict, found.parsed, found.loose) == (False, "1 of 2", True)


def test_nulls_stand_for_arguments_that_are_not_used() -> None:
    assert verify(target(("punctuation:no_comma", {"num_words": None, "relation": None})), "a").verdict


WORDS = "length_constraints:number_words"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "a target has"),
        ([], "a target has"),
        ("{", "not JSON"),
        ("[" * 10**5, "not JSON"),
        ("5", "found 5"),
        ({}, "two lists"),
        (target(), "one instruction or more"),
        ({"instruction_id_list": ["punctuation:no_comma"], "kwargs": []}, "equal length"),
        (target(("punctuation:comma", {})), "unknown instruction 'punctuation:comma'; known: keywords:existence"),
        ({"instruction_id_list": [["a"]], "kwargs": [{}]}, "unknown instruction"),
        (target(("punctuation:no_comma", {"num_words": 1})), "unknown argument 'num_words'; known: none"),
        (target((WORDS, {"num_words": 1})), f"{WORDS}: the argument relation is missing"),
        (target((WORDS, {"num_words": 1, "relation": "at most"})), "`at least` or `less than`; found 'at most'"),
        (target((WORDS, {"num_words": 0, "relation": "at least"})), "whole number from 1 on; found 0"),
        (target((WORDS, {"num_words": True, "relation": "at least"})), "found True"),
        (target((WORDS, {"num_words": "3", "relation": "at least"})), "found '3'"),
        (target(("keywords:existence", {"keywords": []})), "list of texts"),
        (target(("keywords:existence", {"keywords": "a"})), "list of texts"),
        (target(("keywords:forbidden_words", {"forbidden_words": ["a", " "]})), "list of texts"),
        (target(("keywords:letter_frequency", {"letter": "ab", "let_frequency": 1, "let_relation": "at least"})), "one character"),
        (target(("language:response_language", {"language": "xx"})), "language code"),
        (target(("startend:end_checker", {"end_phrase": ""})), "not blank"),
    ],
)
def test_what_is_no_target_gives_no_verdict_and_says_why(wrong: object, message: str) -> None:
    mark = verify(wrong, "a b c")
    assert (mark.verdict, mark.parsed) == (None, None)
    assert mark.error is not None and message in mark.error and len(mark.error) < 1500


def test_a_message_can_be_written_whatever_the_target_holds() -> None:
    mark = verify(target(("keywords:existence", {"keywords": ["\ud800" * 1000]})), "a")
    assert mark.error is not None and len(mark.error.encode()) < 200


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_anything_is_checked_in_linear_time(name: str) -> None:
    for kind, cases in CASES.items():
        assert isinstance(KINDS[kind](cases[0][0], HOSTILE[name]), bool)


@pytest.mark.data
def test_every_row_of_the_benchmark_is_a_target() -> None:
    path = DATA / "ifeval" / "input_data.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is absent: set SUPERALIGN_DATA to the folder with the public data sets")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 541 and {name for row in rows for name in row["instruction_id_list"]} == set(KINDS)
    for row in rows:
        mark = verify(row, row["prompt"])
        count, total = map(int, str(mark.parsed).split(" of "))
        assert total == len(row["instruction_id_list"]) and mark.verdict is (count == total)
