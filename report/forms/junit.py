"""junit.xml: one test case per objective and variant, as continuous integration shows them.

A case fails where its objective was missed and is skipped, with the reason, where nothing may be concluded, as of an
export that is not served. Skipped cases look like success in most pages, so the verdict of the run is a case of its
own: FAIL fails it, and INVALID is its error.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from contract.verdict import Report
from report import words
from report.forms.outcomes import Outcome, outcomes, unserved

# What XML 1.0 cannot hold, not even escaped.
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
VERDICTS = {"FAIL": "failure", "INVALID": "error"}
COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def render_junit(report: Report) -> str:
    """Return the document; one suite per model, and one for the verdict."""
    root = ElementTree.Element("testsuites", {"name": _text(f"report {report.id}")})
    root.append(_verdict(report))
    names = words.labels(report)
    missing = unserved(report)
    for model in dict.fromkeys([*words.models(report), *(model for model, _ in missing)]):
        suite = _suite(report, model)
        for variant in (item for item in report.variants if item.model == model):
            suite.extend(_case(model, names[variant.id], outcome) for outcome in outcomes(report, variant))
        for (name, export), found in missing.items():
            suite.extend(_case(model, export, outcome) for outcome in found if name == model)
        root.append(suite)
    _count(root)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _suite(report: Report, name: str) -> ElementTree.Element:
    started = report.started.split("+")[0].removesuffix("Z")  # the schema of JUnit knows no time zone
    return ElementTree.Element("testsuite", {"name": _text(name), "timestamp": _text(started)})


def _verdict(report: Report) -> ElementTree.Element:
    suite = _suite(report, "verdict")
    case = ElementTree.SubElement(suite, "testcase", {"classname": "loadproof", "name": "verdict", "time": "0.000"})
    if report.verdict in VERDICTS:
        _outcome(case, VERDICTS[report.verdict], report.sentence)
    return suite


def _case(model: str, label: str, outcome: Outcome) -> ElementTree.Element:
    # A dot separates packages in a class name, and a page would cut names that hold one.
    classname = f"{model.replace('.', '_')}.{label.replace('.', '_')}"
    attributes = {"classname": classname, "name": outcome.objective, "time": f"{outcome.seconds:.3f}"}
    case = ElementTree.Element("testcase", {key: _text(value) for key, value in attributes.items()})
    if outcome.kept is None:
        _outcome(case, "skipped", outcome.reason)
    elif outcome.kept:
        ElementTree.SubElement(case, "system-out").text = _text(outcome.reason)
    else:
        _outcome(case, "failure", outcome.reason)
    return case


def _outcome(case: ElementTree.Element, kind: str, message: str) -> None:
    ElementTree.SubElement(case, kind, {"message": _text(message)})


def _count(root: ElementTree.Element) -> None:
    """Write the numbers of cases and their seconds into each suite and their sum into the whole."""
    for element in (*root, root):
        cases = list(element.iter("testcase"))
        element.set("tests", str(len(cases)))
        for attribute, kind in COUNTED.items():
            element.set(attribute, str(sum(case.find(kind) is not None for case in cases)))
        element.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")


def _text(text: str) -> str:
    return FORBIDDEN.sub("\ufffd", text)
