#!/bin/bash
# The whole of Myelin in a minute: starts it in a temporary directory, hands sample documents in, follows them to
# their end, asks a question, stops. usage: demo.sh DIRECTORY-OF-PROGRAMS
set -euo pipefail

bin=$(cd "$1" && pwd)
examples=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d)
server=
watcher=

stop() {
    local code=$?
    [ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
    if [ -n "$server" ]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" || code=$?
    fi
    [ $code -eq 0 ] || { echo "demo: failed ($code); the log:" >&2; tail -n 40 "$place/log" >&2; }
    rm -rf "$place"
    exit $code
}
trap stop EXIT

cp -r "$examples/documents" "$place/documents"
/usr/bin/python3 - "$place/documents" <<'END'
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(folder / "archive.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    for path in sorted(folder.glob("*.md")):
        archive.write(path, "letters/" + path.name)
END

echo "Starting Myelin on free ports …"
mkfifo "$place/ready"
"$bin/myelin" up --data "$place/data" --http 127.0.0.1:0 --req tcp://127.0.0.1:0 --pub tcp://127.0.0.1:0 \
    >"$place/ready" 2>"$place/log" &
server=$!
read -r -t 60 line <"$place/ready" || { echo "demo: Myelin did not start" >&2; exit 1; }
echo "$line"
MYELIN_SERVER=$(sed 's/.*http=\([^ ]*\).*/\1/' <<<"$line")
export MYELIN_SERVER

echo
echo "Handing in $(ls "$place/documents" | wc -l) documents:"
if [ ! -t 2 ]; then # no terminal for bars: show what happens line by line
    "$bin/myelin" watch &
    watcher=$!
fi
"$bin/myelin" submit --wait "$place/documents"
echo
"$bin/myelin" documents
for question in "how do bees find their way home" "who repaired the tower clock" "sourdough hydration"; do
    echo
    echo "? $question"
    found=$("$bin/myelin" search --limit 2 "$question")
    echo "$found"
    [ -n "$found" ] || { echo "demo: nothing was found" >&2; exit 1; }
done
echo
echo "Stopping."
