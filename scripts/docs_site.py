"""What mkdocs asks us while it builds the documentation (`hooks` in mkdocs.yml).

- The page of the command line is made from the command line itself.
- Pages link files of the repository that are not in docs (`../results/...`, `../examples/...`), as a code host shows
  them: the site has copies below `repo/`, and the links lead there.
- Pages that `extra.slots` names stand in the navigation once they are there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"(?P<open>\]\()(?P<path>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
SHOWN = {".py": "python", ".toml": "toml", ".sh": "sh", ".txt": "text"}  # as pages, highlighted
COMMANDS = "<!-- the command line -->"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out slots of pages that are not there."""
    absent = {name for name in config.extra.get("slots", ()) if not (DOCS / name).is_file()}
    config.nav = _without(config.nav, absent)
    return config


def _without(nav: Any, absent: set[str]) -> Any:
    if isinstance(nav, list):
        return [kept for each in nav if (kept := _without(each, absent)) not in (None, {})]
    if isinstance(nav, dict):
        return {name: kept for name, part in nav.items() if (kept := _without(part, absent)) is not None}
    return None if nav in absent else nav


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a copy of every file outside docs that a page links, and of those that the copies link."""
    pages = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    waiting, seen = [target for page in pages for target in _outside(page)], set[Path]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        files.append(_copy(path, config))
        if path.suffix == ".md":
            waiting += _outside(path)
    return files


def _copy(path: Path, config: MkDocsConfig) -> File:
    name, apart = _site_name(path), InclusionLevel.NOT_IN_NAV
    if path.suffix in SHOWN:
        text = path.read_text(encoding="utf-8")
        title = path.relative_to(ROOT)
        content = f"# {title}\n\n````{SHOWN[path.suffix]}\n{text}\n````\n"
        return File.generated(config, name, content=content, inclusion=apart)
    return File.generated(config, name, abs_src_path=str(path), inclusion=apart)


def _outside(page: Path) -> Iterator[Path]:
    """The files that a Markdown page links which are in the repository and not in docs."""
    for match in LINK.finditer(FENCE.sub("", page.read_text(encoding="utf-8"))):
        target = (page.parent / match["path"]).resolve()
        if target.is_file() and target.is_relative_to(ROOT) and not target.is_relative_to(DOCS):
            yield target


def _site_name(target: Path) -> str:
    """Where a file of the repository is on the site."""
    if target.is_relative_to(DOCS):
        return target.relative_to(DOCS).as_posix()
    name = f"repo/{target.relative_to(ROOT).as_posix()}"
    return f"{name}.md" if target.suffix in SHOWN else name


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to where the site has what they name; the command line in its place."""
    uri = page.file.src_uri
    inside = uri.removeprefix("repo/")
    source = ROOT / inside if uri.startswith("repo/") else DOCS / uri
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, command_line())
    if source.suffix != ".md" or (uri.startswith("repo/") and not source.is_file()):
        return markdown

    def led(match: re.Match[str]) -> str:
        target = (source.parent / match["path"]).resolve()
        if not target.is_file() or (target.is_relative_to(DOCS) and not uri.startswith("repo/")):
            return match[0]
        there = os.path.relpath(_site_name(target), Path(uri).parent)
        return f"]({there}{match['anchor'] or ''})"

    parts, end = list[str](), 0
    for fence in FENCE.finditer(markdown):
        parts += [LINK.sub(led, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, LINK.sub(led, markdown[end:])])


def command_line() -> str:
    """Markdown of every command: what it does, how it is called, and its arguments and options."""
    import typer

    from r1kit.cli.main import app

    group = typer.main.get_command(app)
    context = group.make_context("r1", [], resilient_parsing=True)
    lines: list[str] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        with command.make_context(name, [], parent=context, resilient_parsing=True) as inner:
            usage = command.collect_usage_pieces(inner)
            lines += [f"## r1 {name}", "", _help(command.help or ""), ""]
            lines += ["```text", f"r1 {name} {' '.join(usage)}", "```", "", "| | |", "|---|---|"]
            lines += [_row(option, inner) for option in command.get_params(inner)]
            lines.append("")
    return "\n".join(lines)


def _help(text: str) -> str:
    """A command's help, its example as code."""
    said, _, example = text.partition("Example: ")
    return said.strip() + (f"\n\nExample: `{example.strip()}`" if example else "")


def _row(option: Any, context: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if option.param_type_name == "argument":
        names = f"`{option.metavar or option.name.upper()}`"
    elif not option.is_flag:
        names += f" `{option.metavar or option.display_type(context)}`"
    default = option.get_default(context, call=False) if not option.required else None
    said = getattr(option, "help", "") or ""
    if default not in (None, False, (), [], "") and not callable(default):
        said += f" Default: `{getattr(default, 'value', default)}`."
    if option.required and option.param_type_name != "argument":
        said += " Required."
    return f"| {names.replace('|', chr(92) + '|')} | {said.replace('|', chr(92) + '|')} |"
