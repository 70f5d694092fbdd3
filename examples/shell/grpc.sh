#!/usr/bin/env bash
# gRPC with buf, which learns the types by reflection: add, a lock with its fencing token, ids, an error.
#
# npm install --global @bufbuild/buf && bash examples/shell/grpc.sh [http://127.0.0.1:50051]
set -euo pipefail
url=${1:-http://127.0.0.1:50051}

# prints the answer: call METHOD REQUEST, this as JSON
call() {
    buf curl --protocol grpc --http2-prior-knowledge --data "$2" "$url/everywire.v1.Toolkit/$1"
}

# prints a field, without quotes: field NAME <ANSWER; jq, where it is, does it better
field() {
    sed -n "s|.*\"$1\": *\"\{0,1\}\([^,\"}]*\).*|\1|p"
}

# ends the script if two words differ: check WHAT FOUND EXPECTED
check() {
    [ "$2" = "$3" ] || { echo "$1 is '$2' and not '$3'" >&2; exit 1; }
}

sum=$(call Add '{"a": 3, "b": 4}' | field value)
echo "3 + 4 = $sum"
check sum "$sum" 7

# A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
lock=$(call Lock '{"name": "grpc.sh", "ttlMs": 10000, "waitMs": 15000}')
owner=$(field owner <<<"$lock") token=$(field token <<<"$lock")
check granted "$(field granted <<<"$lock")" true
# Send the token with each write, and let the storage reject one lower than the highest it has seen.
echo "locked by $owner with the fencing token $token"
renew="{\"name\": \"grpc.sh\", \"owner\": \"$owner\", \"ttlMs\": 10000}"
check 'the same token' "$(call Renew "$renew" | field token)" "$token"
check unlocked "$(call Unlock "{\"name\": \"grpc.sh\", \"owner\": \"$owner\"}" | field value)" true
later=$(call Lock '{"name": "grpc.sh", "ttlMs": 10000}')
echo "locked again with $(field token <<<"$later")"
[ "$(field token <<<"$later")" -gt "$token" ]
call Unlock "{\"name\": \"grpc.sh\", \"owner\": \"$(field owner <<<"$later")\"}" >/dev/null

ids=$(call NextIds '{"count": 1000}' | grep -o '[0-9]\{10,\}')
echo "1000 ids, from $(head -n 1 <<<"$ids") to $(tail -n 1 <<<"$ids")"
check 'the number of different ids' "$(sort --unique <<<"$ids" | wc -l)" 1000
sort --numeric-sort --check <<<"$ids"

if error=$(call Lock '{"name": "grpc.sh"}' 2>&1); then
    echo "no error, but $error" >&2
    exit 1
fi
echo "a lock for 0 ms: $(tr --squeeze-repeats '[:space:]' ' ' <<<"$error")"
check 'the error' "$(field code <<<"$error")" invalid_argument
