"""Write the pages of the documentation that are made from the code into docs/made/, anew for each build.

`make docs` runs this and then Sphinx. What stands here changes with the code by itself, so it is not kept in git;
configuration.md is, for people read it beside their tahoe.cfg.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click

import gateway
from gateway.cli.program import COMMANDS, program
from gateway.errors import BACKEND_TO_S3
from gateway.node.read import read
from gateway.operations import OPERATIONS
from gateway.settings import ConfigurationFaults
from gateway.wire.codes import CODES
from gateway.wire.table import ROWS, Row
from gateway.wire.unset import DOCUMENTS, ERRORS

DOCS = Path(__file__).parent
MADE = DOCS / "made"
# The lines of a menu in index.md; every other page of the folder is found.
NAMED = {"index", *re.findall(r"^([a-z0-9-]+)$", (DOCS / "index.md").read_text(), re.MULTILINE)}
API = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_"
ELSEWHERE = {"PostObject": API.removesuffix("API_") + "RESTObjectPOST.html"}  # its page is older than the others


def commands() -> str:
    """Every command with its help, as click prints it."""
    parts = [
        "# Commands in full\n\n`gateway COMMAND --help` says the same. Exit codes: 0 done, 1 refused by the service, "
        "2 usage, 3 configuration, 4 unreachable, 5 partly done.\n"
    ]
    parts += [f"| [gateway {name}](#gateway-{name}) | {about} |" for name, (_, about) in COMMANDS.items()]
    parts.insert(1, "| command | what it does |\n|---|---|")
    context = click.Context(program, info_name="gateway")
    for name in COMMANDS:
        command = program.get_command(context, name)
        assert command is not None
        parts += ["", f"## gateway {name}\n", *_help(command, click.Context(command, context, info_name=name), "###")]
    return "\n".join(parts) + "\n"


def _help(command: click.Command, context: click.Context, heading: str) -> Iterator[str]:
    yield f"```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield f"{heading} {context.command_path} {name}\n"
            yield from _help(child, click.Context(child, context, info_name=name), heading + "#")


def s3_support() -> str:
    """Every operation of S3's API: what is answered, from the registry that the gate reads."""
    requests = {row.operation: _request(row) for row in ROWS}
    for name, plain in (("CopyObject", "PutObject"), ("UploadPartCopy", "UploadPart")):  # a header makes them
        requests[name] = f"{requests[plain]} with `x-amz-copy-source`"
    done = [name for name in requests if name in OPERATIONS]
    unset = [name for name in done if name in ERRORS or name in DOCUMENTS]
    tried = "\n[Compatibility](../compatibility.md) has what was tried of each.\n"
    parts = [
        "# S3 support\n\n(Made from the operation registry.)\n",
        f"Of the {len(requests)} operations of S3's API {len(done)} are answered. {len(unset)} of these tell what S3 "
        "tells of a setting that nobody made, for there is no way to make it yet. The others are refused with 501 "
        "NotImplemented before their body is read; none is ever taken for another one.",
        tried if (DOCS / "compatibility.md").exists() else "",
        "| operation | request | answer |\n|---|---|---|",
    ]
    for name, request in sorted(requests.items()):
        answer = "501" if name not in OPERATIONS else "as if never set" if name in unset else "yes"
        page = ELSEWHERE.get(name, f"{API}{name}.html")
        parts.append(f"| [{name}]({page}) | {request} | {answer} |")
    return "\n".join(parts) + "\n"


def _request(row: Row) -> str:
    where = {"service": "/", "bucket": "/BUCKET", "object": "/BUCKET/KEY"}[row.level]
    return f"`{row.method} {where}{'?' if row.words else ''}{'&'.join(row.words)}`"


def errors() -> str:
    """One anchor for each S3 error code, each storage error and each kind of configuration fault."""
    parts = [
        "# Errors\n\n(Made from the tables in the code.)\n",
        "## What a client hears\n",
        "A reply that is no success has a `Code`, a message and a `RequestId`; the access log has the same id. The "
        "documented meaning is behind each name.\n",
    ]
    for name, code in sorted(CODES.items()):
        source = f"[AWS]({code.source})" if code.source.startswith("http") else "the gateway's own"
        parts.append(
            f"(error-{name.lower()})=\n\n### {name}\n\n{code.status}. {code.message or 'No body.'} ({source})\n"
        )
    parts.append("## What a storage's trouble becomes\n")
    parts.append("| a backend raises | the client hears |\n|---|---|")
    parts += [f"| `{kind.__name__}` | {code} |" for kind, code in BACKEND_TO_S3]
    parts.append("\n## What an operator hears\n")
    parts.append(
        "A configuration that does not serve is exit code 3 and one line for each fault: where, what was seen, what "
        "was expected, and what mends it. These are the kinds, each with the line for an example.\n"
    )
    for anchor, title, told in faults():
        parts.append(f"(fault-{anchor})=\n\n### {title}\n\n```text\n{told}\n```\n")
    return "\n".join(parts) + "\n"


def promises() -> str:
    """Each test of the conformance kit with what it tells an author who fails it."""
    about = "Each is a test of `gateway.testing.BackendContract`; what stands beside it ends the message of a failure."
    parts = ["# The promises of a backend\n\n(Made from the conformance kit.)\n", about]
    for file in sorted((Path(gateway.__file__).parent / "testing").glob("promises_*.py")):
        module = ast.parse(file.read_text())
        parts += [f"\n{ast.get_docstring(module)}\n", "| promise | what to do |\n|---|---|"]
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                name = node.name.removeprefix("test_").replace("_", " ")
                parts.append(f"| {name} | {ast.get_docstring(node)} |")
    return "\n".join(parts) + "\n"


SEAL = "ab" * 32
GOOD = "[storage]\nbackend = memory\n"
# anchor, title, tahoe.cfg, what is done to private/
FAULTS: tuple[tuple[str, str, str | None, str], ...] = (
    ("unreadable-file", "The file cannot be read", None, ""),
    ("syntax", "A line that is none of the file's", "[gateway]\nlisten tcp:8000\n" + GOOD, ""),
    ("unknown-section", "An unknown section", "[gatway]\n" + GOOD, ""),
    ("unknown-key", "An unknown key", "[gateway]\nregoin = eu-north-1\n" + GOOD, ""),
    ("twice", "A key that is there twice", GOOD + "backend = memory\n", ""),
    ("value", "A value of another kind", "[gateway]\nidle_timeout = soon\n" + GOOD, ""),
    ("required", "A setting is missing", "[storage]\nbackend = cloud.s3\n", ""),
    ("no-storage", "No default location", "[gateway]\nregion = eu-north-1\n", ""),
    ("no-backend", "A location without a backend", "[storage]\nmemory.limit = 1GiB\n", ""),
    ("unknown-backend", "A backend that is not installed", "[storage]\nbackend = memroy\n", ""),
    ("unknown-wrapper", "A wrapper that is not installed", GOOD + "wrappers = slow\n", ""),
    ("secret-in-file", "A secret in the file", "[storage]\nbackend = cloud.s3\ns3.bucket = attic\ns3secret = x\n", ""),
    (
        "secret-missing",
        "A secret is missing",
        "[storage]\nbackend = cloud.openstack\nopenstack.username = u\nopenstack.container = c\n",
        "",
    ),
    ("secret-open", "A secret that others may read", GOOD, "open"),
    ("seal", "No seal", GOOD, "no seal"),
    (
        "same-storage",
        "Two locations on one storage",
        "[storage]\nbackend = local\nlocal.path = here\n[location cold]\nbackend = local\nlocal.path = here\n",
        "",
    ),
    ("unknown-location", "An endpoint for no location", GOOD + "[endpoint s3.example.com]\nlocation = cold\n", ""),
)


def faults() -> Iterator[tuple[str, str, str]]:
    """Each kind of configuration fault with what an operator is told of its example; raises where nothing is wrong."""
    for anchor, title, text, private in FAULTS:
        with TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "private").mkdir(mode=0o700)
            seal = folder / "private" / "seal"
            if private != "no seal":
                seal.touch(mode=0o600)
                seal.write_text(SEAL)
                seal.chmod(0o644 if private == "open" else 0o600)
            if text is not None:
                (folder / "tahoe.cfg").write_text(text)
            try:
                read(folder / "tahoe.cfg").settings()
            except ConfigurationFaults as found:
                yield anchor, title, str(found).replace(f"{folder}/", "").replace(str(folder), "FOLDER")
            else:
                raise AssertionError(f"{anchor}: nothing is wrong with it")


def decisions() -> str:
    """The list of the decisions, which Sphinx puts into the menu."""
    pages = sorted((DOCS / "decisions").glob("*.md"))
    lines = [f"/decisions/{page.stem}" for page in pages]
    about = "Choices that somebody may question: context, decision, what was rejected, what would change our mind.\n"
    return "\n".join(["# Decisions\n", about, "```{toctree}\n:maxdepth: 1", *lines, "```\n"])


def more() -> str:
    """Pages that nobody named yet."""
    pages = sorted(page.stem for page in DOCS.glob("*.md") if page.stem not in NAMED)
    return "\n".join(["# More\n", "```{toctree}\n:maxdepth: 1", *(f"/{page}" for page in pages), "```\n"])


PAGES = {
    "commands": commands,
    "s3-support": s3_support,
    "errors": errors,
    "promises": promises,
    "decisions": decisions,
    "more": more,
}


def write(made_: Path = MADE) -> None:
    """All of them, into a folder."""
    made_.mkdir(exist_ok=True)
    for name, made in PAGES.items():
        text = re.sub(r"[ \t]+\n", "\n", made())
        (made_ / f"{name}.md").write_text(text)


if __name__ == "__main__":
    write()
