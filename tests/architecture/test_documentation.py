"""Pages against code: every error has its page, both languages say the same, and nothing in the repository names a machine."""

import re
import shlex
import string
import tomllib
from functools import cache
from pathlib import Path

import click
import pytest
import typer

from ringfence.cli import pages
from ringfence.cli.main import _GLOBAL, application
from ringfence.core import text
from ringfence.core.errors import ROW_REASONS, RingfenceError, error_classes
from ringfence.core.verdict import _HOW
from ringfence.models.folder import ARCHITECTURES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LANGUAGES = ("en", "zh")
HEADINGS = {"en": ("## Why it happens", "## What to do"), "zh": ("## 为什么会这样", "## 怎么办")}
EXIT = {"en": "Exit code: {}", "zh": "退出码：{}"}

# The base class has a page, too: it is what an unexpected fault prints. Tests may define error classes of their own; those are not ours.
ERRORS = [RingfenceError, *(cls for cls in error_classes() if cls.__module__.startswith("ringfence."))]
CODES = {cls.code for cls in ERRORS}


def page(cls, language):
    return (DOCS / "errors" / language / f"{cls.code}.md").read_text(encoding="utf-8")


def placeholders(sentence):
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


# ── error pages ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_two_errors_share_a_code():
    assert len(CODES) == len(ERRORS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_error_has_a_page_and_every_page_an_error(language):
    assert {path.stem for path in (DOCS / "errors" / language).iterdir()} == CODES


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.code)
def test_a_page_has_its_headings_and_the_real_exit_code(cls, language):
    lines = page(cls, language).splitlines()
    headings = [line for line in lines if line.startswith("#")]
    assert headings[0].startswith(f"# {cls.code} · ")
    assert tuple(headings[1:]) == HEADINGS[language]
    assert lines[-1] == EXIT[language].format(cls.exit_code)
    assert 10 <= len(lines) <= 25


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.code)
def test_both_pages_say_equally_much(cls):
    en, zh = (page(cls, language) for language in LANGUAGES)
    assert en.count("\n- ") == zh.count("\n- ")
    assert commands_in(en) == commands_in(zh)


@pytest.mark.parametrize("sentence", ["what", "remedy"])
@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.code)
def test_both_languages_have_the_same_placeholders(cls, sentence):
    english, chinese = getattr(cls, sentence)
    assert placeholders(english) == placeholders(chinese)


@pytest.mark.parametrize("pair", [*ROW_REASONS.values(), *_HOW.values()], ids=lambda pair: pair.en[:30])
def test_other_sentences_have_the_same_placeholders(pair):
    assert placeholders(pair.en) == placeholders(pair.zh)


@pytest.mark.parametrize("language", LANGUAGES)
def test_explain_returns_every_page(language):
    before = text.chosen()
    try:
        text.choose(language)
        assert set(pages.codes(language)) == CODES
        assert {cls.code: pages.page(cls.code.lower()) for cls in ERRORS} == {cls.code: page(cls, language) for cls in ERRORS}
    finally:
        text.choose(before)


# ── commands that the text names ──────────────────────────────────────────────────────────────────────────────────────

_CODE = re.compile(r"```[a-z]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)


def commands_in(document):
    """Return the ringfence calls in code spans and code blocks, sorted, columns of the examples left out: they are translated."""
    parts = [
        part for match in _CODE.finditer(document) for line in (match[1] or match[2]).splitlines() for part in re.split("&&|[|;]", line)
    ]
    found = [part.strip().removeprefix("$ ") for part in parts]
    return sorted(re.sub(r"--map \S+", "--map X", part) for part in found if part.startswith("ringfence "))


@cache
def tree():
    return typer.main.get_command(application())


def problem_with(call):
    """Return why a call could not work, or None: its command and options must exist."""
    words = shlex.split(call, comments=True)[1:]
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    arguments, skip = [], False
    for word in words:
        if not skip and not word.startswith("-"):
            arguments.append(word)
        skip = _GLOBAL.get(word, False)
    command = tree()
    while isinstance(command, click.Group) and arguments:
        if command.name == "deid" and arguments[0] not in command.commands:
            arguments.insert(0, "mask")  # its commands, or the set that is to be masked
        name = arguments.pop(0)
        if name not in command.commands:
            return f"there is no {name}"
        command = command.commands[name]
    known = {"--help", "-h", "--version", *_GLOBAL, *(name for option in command.params for name in option.opts)}
    return f"there is no {min(options - known)}" if options - known else None


def test_the_check_of_commands_finds_what_is_wrong():
    assert problem_with("ringfence -w DIR data list --all") is None
    assert problem_with("ringfence data burn clinic") == "there is no burn"
    assert problem_with("ringfence data list --everything") == "there is no --everything"


MARKDOWN = sorted(path for path in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")] if path.stat().st_size)


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_the_documentation_exists(path):
    calls = commands_in(path.read_text(encoding="utf-8"))
    assert {call: why for call in calls if (why := problem_with(call))} == {}


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.code)
def test_every_command_in_a_remedy_exists(cls):
    """In the Chinese sentence a Latin word after the name of the program can only be a command."""
    for call in re.findall(r"ringfence [a-z][a-z -]*[a-z]", cls.remedy.zh):
        assert problem_with(call) is None
        assert call in cls.remedy.en


# ── the same documentation in both languages ──────────────────────────────────────────────────────────────────────────

MIRRORED = ("*.md", "deid/*.md", "methods/*.md")  # below docs/ and below docs/zh/
ENGLISH, CHINESE = (
    {str(path.relative_to(top)): path for pages_of in MIRRORED for path in top.glob(pages_of)} for top in (DOCS, DOCS / "zh")
)
PAIRS = [(ENGLISH[name], CHINESE[name]) for name in sorted(ENGLISH.keys() & CHINESE.keys())]
README = (ROOT / "README.md", ROOT / "README.zh.md")
if all(path.is_file() and path.stat().st_size for path in README):
    PAIRS.append(README)


def shape(path):
    """Return the levels of the headings and the widths of the tables, in order."""
    lines = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL).splitlines()
    headings = [len(line) - len(line.lstrip("#")) for line in lines if line.startswith("#")]
    tables = [line.count("|") - line.count(r"\|") for line in lines if line.startswith("|")]
    return headings, tables


def test_the_page_tree_is_the_same_in_both_languages():
    assert set(ENGLISH) == set(CHINESE)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: str(pair[0].relative_to(ROOT)))
def test_a_page_has_the_same_shape_in_both_languages(pair):
    english, chinese = pair
    assert shape(english) == shape(chinese)


@cache
def anchors(path):
    """Return what the headings of a page are called in links, as GitHub and GitLab call them."""
    document = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.+?) *$", document, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?", path.read_text(encoding="utf-8"))
    inside = [(path.parent / link if link else path, anchor) for link, anchor in links if "://" not in link]
    assert [str(target) for target, _ in inside if not target.exists()] == []
    assert [f"{target}#{anchor}" for target, anchor in inside if anchor and anchor not in anchors(target.resolve())] == []


OTHER_NAMES = (  # of what Chinese pages call by one name
    "隐私官 片段表 演练 附加包 附加项 您 基座 底座 无法裁定 无法判定".split()  # 隐私负责人 替换表 试算 附加组件 你 基础模型 无定论
)


@pytest.mark.parametrize("path", [path for path in MARKDOWN if "zh" in path.relative_to(ROOT).as_posix()], ids=lambda path: path.name)
def test_chinese_pages_call_one_thing_by_one_name(path):
    document = path.read_text(encoding="utf-8")
    assert [name for name in OTHER_NAMES if name in document] == []


# ── what is installed, and by which words ─────────────────────────────────────────────────────────────────────────────

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"].keys()
INSTALL = [top / "install.md" for top in (DOCS, DOCS / "zh")]
TOLD = [*MARKDOWN, *(ROOT / "examples").glob("*.yaml"), ROOT / "src/ringfence/core/errors.py"]


def bad_installs(document):
    """Return the calls of pip that cannot work: ringfence lies in a checkout or a wheelhouse, and its extras are those of pyproject."""
    calls = re.findall(r"pip (?:install|wheel)[^`\n]*", document)
    extras = [re.search(r"(\.|ringfence)\[([^\]{]+)\]", call) for call in calls]
    lost = [call for call, named in zip(calls, extras, strict=True) if named and named[1] != "." and "--no-index" not in call]
    return lost + [call for call, named in zip(calls, extras, strict=True) if named and not set(named[2].split(",")) <= EXTRAS]


def test_the_check_of_installations_finds_what_is_wrong():
    assert len(bad_installs("`pip install 'ringfence[server]'`")) == 1
    assert len(bad_installs("`pip install -e '.[servers]'`")) == 1
    assert bad_installs("`pip install -e '.[server,rl]'`\npip install --no-index 'ringfence[server]'") == []


@pytest.mark.parametrize("path", TOLD, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_installation_that_is_told_can_work(path):
    assert bad_installs(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", INSTALL, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_extra_is_told(path):
    assert re.findall(r"^\| `([a-z-]+)` \|", path.read_text(encoding="utf-8"), re.MULTILINE) == list(EXTRAS)


@pytest.mark.parametrize("path", [*README, *INSTALL], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_target_of_make_that_is_told_exists(path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    told = re.findall(r"^\$ make (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert told
    assert [name for name in told if not re.search(rf"^(?:{re.escape(name)}:|WHEEL := {re.escape(name)}$)", makefile, re.MULTILINE)] == []


@pytest.mark.parametrize("name", ["models.md", "llamafactory.md"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_families_of_base_models_are_told(name, language):
    page_of = (DOCS if language == "en" else DOCS / "zh") / name
    lists = re.findall(r"`\w+`(?:(?:, |、| and | 与 )`\w+`)+", page_of.read_text(encoding="utf-8"))
    assert sorted(ARCHITECTURES) in [re.findall(r"\w+(?=`)", names) for names in lists]


# ── nothing names a machine ───────────────────────────────────────────────────────────────────────────────────────────

FORBIDDEN = {
    "a path of a machine": re.compile(r"(?<![\w.\-*/}])/(?:work|root)/[\w.]|(?<![\w.\-*/}])/(?:home|Users)/\w+"),
    "the host of a registry": re.compile(
        r"pypi\.org|pythonhosted|npmjs|modelscope\.cn|huggingface\.co/(?!docs/)|hf-mirror|index-url|https?://[^\s/]*(?:mirror|registry|artifactory|nexus)",
        re.IGNORECASE,
    ),
    "unfinished work": re.compile(r"\b(?:TODO|FIXME)\b"),
}
ATTACKED = {"/root/.profile"}  # what hostile children try to read, on any machine
SCANNED = (
    "src",
    "docs",
    "tests",
    "benchmarks",
    "examples",
    ".ci",
    "Makefile",
    "README.md",
    "README.zh.md",
    "pyproject.toml",
    "constraints.txt",
)


def texts():
    for name in SCANNED:
        top = ROOT / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path != Path(__file__):
                data = path.read_bytes()
                if b"\0" not in data:
                    yield path, data.decode("utf-8", "replace")


def faults(document):
    for allowed in ATTACKED:
        document = document.replace(allowed, "")
    return [f"{why}: {match[0]}" for why, pattern in FORBIDDEN.items() for match in pattern.finditer(document)]


def test_the_search_finds_what_it_is_for():
    planted = (
        "see /" + "work/main/x",
        "'/root/x'",
        "(/home/anna)",
        "/Users/anna",
        "https://" + "pypi" + ".org/simple",
        "https://a.mirror.example/x",
        "# TODO later",
    )
    assert [len(faults(line)) for line in planted] == [1] * len(planted)
    assert faults("frame/work/x, /proc/1/root/etc, https://huggingface.co/docs/safetensors, method") == []


def test_no_file_names_a_machine_a_registry_or_unfinished_work():
    found = {str(path.relative_to(ROOT)): bad for path, document in texts() if (bad := faults(document))}
    assert found == {}
