#!/bin/sh
# The main job, from nothing: a repo, a pipeline that speaks only S3, its output and where it came from; then
# a change, and what became of it. Everything it makes is in .demo/, which the next run throws away.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
work=$root/.demo
rm -rf "$work"
mkdir -p "$work"

# The user code of a job finds the AWS CLI where we do. No setting of this machine's own shall leak in.
export PATH="$root/.venv/bin:$root/.venv-aws/bin:$PATH"
export SIDEGATE_DATA="$work/data"
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo AWS_REGION=us-east-1
unset SIDEGATE_URL AWS_PROFILE AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 2>/dev/null || true

out=s3_protocol_enabled_pipeline
server=

step() { printf '\n=== %s\n' "$*"; }
say() { printf '    %s\n' "$*"; }
show() {
    printf '\n$'
    for word; do
        case $word in
        *[!A-Za-z0-9_./:@=^-]*) printf " '%s'" "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    "$@"
}
field() { python3 -c "import json, sys; print(json.loads(sys.stdin.readline())$1)"; }
finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
}
trap finish EXIT
trap 'exit 130' INT TERM

step "1. A repo, and laboratory results in it (demo/labresults; sources in SOURCES.txt)"
show sidegate repo create labresults
show sidegate file put labresults@master -r demo/labresults
say "One commit holds them all; this is what it cost:"
show sidegate commit inspect labresults@master

step "2. A pipeline whose code speaks only S3: demo/pipeline.json"
say "It lists the buckets it is given, copies s3://labresults out, and back into s3://out."
say "A gateway of its own comes up beside the job, with these two buckets and no others."
show sidegate run demo/pipeline.json

step "3. The output commit, and where it came from"
show sidegate commit inspect "$out@master"
show sidegate file ls -r "$out@master"
sidegate --quiet file get -r "$out@master" "$work/result"
diff -r demo/labresults "$work/result"
say "diff -r demo/labresults: the same, byte for byte."

step "4. A change, made over S3 through the global gateway: one file changed, one deleted"
sidegate serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 >"$work/ready" 2>"$work/serve.log" &
server=$!
tries=0
until grep -q ^ready "$work/ready"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
        say "the server did not start:"
        cat "$work/serve.log"
        exit 1
    fi
    sleep 0.1
done
cat "$work/ready"
endpoint=$(sed -n 's/^ready s3=\([^ ]*\).*/\1/p' "$work/ready")

changed="cytology/Breast Cancer Wisconsin (diagnostic).csv"
sed '565s/^[^,]*/14.14/' "demo/labresults/$changed" >"$work/corrected.csv"
show sidegate commit start labresults@master -m "line 565 measured again; the wines withdrawn"
show aws --endpoint-url "$endpoint" s3 cp --no-progress "$work/corrected.csv" "s3://labresults/$changed"
show aws --endpoint-url "$endpoint" s3 rm s3://labresults/chemistry/wine.csv
show sidegate commit finish labresults@master
input=$(sidegate --json commit inspect labresults@master | field "['commit']")
sidegate --json commit inspect labresults@master | python3 -c "
import json, sys
commit = json.loads(sys.stdin.readline())
sent, new = commit['logical_bytes'], commit['new_bytes']
print()
print(f'    {sent:,} bytes were sent for one changed line; {new:,} were stored: the chunk that the line is in.')"

step "5. The pipeline ran again, by itself"
job=
tries=0
while [ -z "$job" ]; do
    job=$(sidegate --json job list --pipeline "$out" -n 1 | python3 -c "
import json, sys
job = json.loads(sys.stdin.readline())
print(job['job'] if '$input' in json.dumps(job['inputs']) else '')")
    tries=$((tries + 1))
    if [ -z "$job" ] && [ "$tries" -gt 100 ]; then
        say "no job was started for commit $input"
        exit 1
    fi
    [ -n "$job" ] || sleep 0.1
done
show sidegate job wait "$job"

step "6. What changed in the output, and what it cost"
show sidegate commit diff "$out@master^" "$out@master"
sidegate --json commit inspect "$out@master" | python3 -c "
import json, sys
commit = json.loads(sys.stdin.readline())
wrote, new = commit['logical_bytes'], commit['new_bytes']
print()
print(f'    The job wrote {wrote:,} bytes; {wrote - new:,} of them were stored already, {new:,} were new.')
for edge in commit['provenance']:
    print(f'    It came from {edge[\"repo\"]}@{edge[\"branch\"]}, commit {edge[\"commit\"]}: the change above.')"

step "Done. The repos are in .demo/data; look around with: SIDEGATE_DATA=.demo/data .venv/bin/sidegate repo list"
