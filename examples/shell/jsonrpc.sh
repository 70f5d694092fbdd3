#!/usr/bin/env bash
# JSON-RPC with curl: add, a lock with its fencing token, ids, a batch, an error.
#
# bash examples/shell/jsonrpc.sh [http://127.0.0.1:4244]
set -euo pipefail
url=${1:-http://127.0.0.1:4244}

# prints the answer to BODY
post() {
    curl --silent --show-error --fail --max-time 30 "$url" --header 'content-type: application/json' --data "$1"
}

# prints the answer: call METHOD PARAMS, these as JSON
call() {
    post "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"$1\", \"params\": $2}"
}

# prints a member, without quotes: member NAME <ANSWER; jq, where it is, does it better
member() {
    sed -n "s|.*\"$1\":\"\{0,1\}\([^,\"}]*\).*|\1|p"
}

# ends the script if two words differ: check WHAT FOUND EXPECTED
check() {
    [ "$2" = "$3" ] || { echo "$1 is '$2' and not '$3'" >&2; exit 1; }
}

sum=$(call add '[3, 4]' | member result)
echo "3 + 4 = $sum"
check sum "$sum" 7

# A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
lock=$(call lock '{"name": "jsonrpc.sh", "ttl_ms": 10000, "wait_ms": 15000}')
owner=$(member owner <<<"$lock") token=$(member token <<<"$lock")
check granted "$(member granted <<<"$lock")" true
# Send the token with each write, and let the storage reject one lower than the highest it has seen.
echo "locked by $owner with the fencing token $token"
check 'granted to somebody else' "$(call lock '["jsonrpc.sh", 10000]' | member granted)" false
check 'the same token' "$(call renew "[\"jsonrpc.sh\", \"$owner\", 10000]" | member token)" "$token"
check unlocked "$(call unlock "[\"jsonrpc.sh\", \"$owner\"]" | member result)" true
later=$(call lock '["jsonrpc.sh", 10000]')
echo "locked again with $(member token <<<"$later")"
[ "$(member token <<<"$later")" -gt "$token" ]
call unlock "[\"jsonrpc.sh\", \"$(member owner <<<"$later")\"]" >/dev/null

ids=$(call next_ids '[1000]' | grep -o '[0-9]\{10,\}')
echo "1000 ids, from $(head -n 1 <<<"$ids") to $(tail -n 1 <<<"$ids")"
check 'the number of different ids' "$(sort --unique <<<"$ids" | wc -l)" 1000
sort --numeric-sort --check <<<"$ids"

# A batch: many calls in one request.
one='{"jsonrpc": "2.0", "id": 1, "method": "add", "params": [1, 1]}'
two='{"jsonrpc": "2.0", "id": 2, "method": "add", "params": {"b": 2, "a": 2}}'
sums=$(post "[$one, $two]")
echo "one request, two answers: $sums"
check sums "$sums" '[{"jsonrpc":"2.0","id":1,"result":2},{"jsonrpc":"2.0","id":2,"result":4}]'

error=$(call lock '["jsonrpc.sh", 0]')
echo "a lock for 0 ms: $error"
check 'the error' "$(grep -o '"code":-[0-9]*' <<<"$error")" '"code":-32602'
