"""Downloads the CSV files of a daemon, opens each in LibreOffice, and compares the cells (`csv_check.sh`)."""

import csv
import io
import json
import pathlib
import subprocess
import sys
import time
import urllib.request

# The numbers by which LibreOffice knows the encodings; the page's dialog shows them as "Unicode (UTF-8)" and
# "Japanese (Windows-932)".
CHARSETS = {"utf-8": ("utf-8-sig", 76), "cp932": ("cp932", 64)}
# What LibreOffice writes: commas, quotes, UTF-8, each cell as it is shown.
AS_SHOWN = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false"
MONTH = "from=2025-04-01T00:00:00%2B09:00&to=2025-05-01T00:00:00%2B09:00"
ACCOUNT = "01900000-0000-7000-8000-0a0000000000"
FILES = {
    "history": f"/v1/history.csv?{MONTH}&account={ACCOUNT}",
    "stats-by-account": "/v1/stats.csv?by=account&from=2025-04-01&to=2025-05-01",
    "stats-by-day": "/v1/stats.csv?by=day&from=2025-04-01&to=2025-05-01",
    "report": f"/v1/accounts/{ACCOUNT}/reports/2025-04/csv?",
    "bills": "/v1/bills/2025-04/lines.csv?",
    "messages": f"/v1/export/messages.csv?{MONTH}",
}


def cells(text):
    return list(csv.reader(io.StringIO(text, newline="")))


def is_same(written, shown):
    """Whether a cell is shown as it was written; a number may lose zeros behind its point."""
    if written == shown:
        return True
    try:
        return "." in written and float(written) == float(shown)
    except ValueError:
        return False


def check(name, encoding, content, run):
    python, charset = CHARSETS[encoding]
    path = run / f"{name}-{encoding}.csv"
    path.write_bytes(content)
    # First line 1, a quoted field is a text, special numbers are recognised: what the dialog proposes.
    command = ["soffice", f"-env:UserInstallation=file://{run}/profile", "--headless"]
    command += [f"--infilter=CSV:44,34,{charset},1,,0,true,true", "--convert-to", AS_SHOWN, "--outdir", f"{run}/shown", path]
    subprocess.run(command, check=True, capture_output=True, timeout=180)
    written = cells(content.decode(python))
    shown = cells((run / "shown" / path.name).read_text("utf-8-sig"))
    wrong = [f"{len(written)} rows, {len(shown)} are shown"] if len(written) != len(shown) else []
    for number, (row, other) in enumerate(zip(written, shown), 1):
        wrong += [f"{number}: {one!r} is shown as {two!r}" for one, two in zip(row, other) if not is_same(one, two)]
        wrong += [f"{number}: {len(row)} cells, {len(other)} are shown"] if len(row) != len(other) else []
    print(f"{path.name:<30} {len(written):>6} rows of {len(written[0]):>3} cells, {len(wrong)} are shown otherwise")
    for line in wrong[:5]:
        print("   ", line)
    return len(wrong)


def prepare(ask):
    """Gives the account a billing plan, and waits until the month is counted."""
    plan = {"name": "標準", "base_yen": 1_000, "include": 1, "extra": [{"from": 2, "yen": 100}]}
    ask(f"/v1/accounts/{ACCOUNT}/billing-plan", "PUT", json.dumps(plan).encode())
    for _ in range(120):
        if json.loads(ask("/v1/stats?by=day&from=2025-04-01&to=2025-05-01"))["pending"] == 0:
            return
        time.sleep(1)
    sys.exit("the month is not counted within two minutes")


def main(url, run):
    headers = {"authorization": f"Bearer {(run / 'token').read_text().strip()}", "content-type": "application/json"}

    def ask(target, method="GET", body=None):
        request = urllib.request.Request(url + target, data=body, method=method, headers=headers)
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    prepare(ask)
    wrong = 0
    for name, path in FILES.items():
        for encoding in CHARSETS:
            wrong += check(name, encoding, ask(f"{path}{'' if path.endswith('?') else '&'}encoding={encoding}"), run)
    return 1 if wrong else 0


sys.exit(main(sys.argv[1], pathlib.Path(sys.argv[2])))
