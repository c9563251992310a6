"""Names that each format could take for something else."""

from medseg.reporting.render.table import Column, Entry, Table

NAMES = (
    "a|b", "<script>alert(1)</script>", "`code`", "``x``", "*bold*", "**b**", "_x_", "__init__", "snake_case_",
    "[a](b)", "[a][b]", "![i](x.png)", "[^1]", "[x]: http://x", "# title", "title #", "- item", "+ item", "1. item",
    "1) item", "> quote", "---", "===", "a\nb", "tab\there", "$x^2$", "$", "&lt;b&gt;", "&amp;", "&#60;", "~~x~~", "~",
    "\\", "\\*x\\*", "a\\", "<!-- x -->", "</td>", "<b", "<https://x.org>", "{x}", "x {: #a .b}", "{{ x }}", "%{x}",
    "50 % & more", "C:\\new_1", "^", '"q"', "'q'", "a--b", "| - | - |", "\\end{document}", "\\input{x}", "x" * 60,
    "é ñ ø ß ł",
)  # fmt: skip


def hostile_table() -> Table:
    """Each name everywhere that a name can be."""

    def entry(name: str) -> Entry:
        return Entry(name, f" {name}", 1, (f"{name} in a note",) if len(name) < 4 else ())

    columns = [
        Column[str]("name", "name", lambda name: name),
        Column[str]("entry", "entry | * <b> $", lambda name: name, text=entry),
        Column[str]("last", "last", lambda name: name),
    ]
    return Table("hostile", "# All *of* <b>them</b> | $", columns, NAMES, NAMES[:6])


def flat(name: str) -> str:
    """A name as it is shown: on one line, without the spaces that pages drop."""
    return " ".join(name.split())
