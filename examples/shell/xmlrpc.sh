#!/usr/bin/env bash
# XML-RPC with curl: add, a lock with its fencing token, ids, an error.
#
# bash examples/shell/xmlrpc.sh [http://127.0.0.1:4242]
set -euo pipefail
url=${1:-http://127.0.0.1:4242}

# prints the answer: call METHOD VALUE…, each as XML
call() {
    local params
    params=$(printf '<param><value>%s</value></param>' "${@:2}")
    curl --silent --show-error --fail --max-time 30 "$url" --header 'content-type: text/xml' \
        --data "<?xml version='1.0'?><methodCall><methodName>$1</methodName><params>$params</params></methodCall>"
}

# prints a member of a struct: member NAME <ANSWER
member() {
    sed -n "s|.*<name>$1</name><value><[a-z0-9]*>\([^<]*\)<.*|\1|p"
}

# ends the script if two words differ: check WHAT FOUND EXPECTED
check() {
    [ "$2" = "$3" ] || { echo "$1 is '$2' and not '$3'" >&2; exit 1; }
}

sum=$(call add '<int>3</int>' '<int>4</int>' | sed 's/<[^>]*>//g')
echo "3 + 4 = $sum"
check sum "$sum" 7

# A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
name='<string>xmlrpc.sh</string>'
lock=$(call lock "$name" '<int>10000</int>' '<int>15000</int>')
owner=$(member owner <<<"$lock") token=$(member token <<<"$lock")
check granted "$(member granted <<<"$lock")" 1
# Send the token with each write, and let the storage reject one lower than the highest it has seen.
echo "locked by $owner with the fencing token $token"
check 'granted to somebody else' "$(call lock "$name" '<int>10000</int>' | member granted)" 0
check 'the same token' "$(call renew "$name" "<string>$owner</string>" '<int>10000</int>' | member token)" "$token"
check unlocked "$(call unlock "$name" "<string>$owner</string>" | sed 's/<[^>]*>//g')" 1
later=$(call lock "$name" '<int>10000</int>')
echo "locked again with $(member token <<<"$later")"
[ "$(member token <<<"$later")" -gt "$token" ]
call unlock "$name" "<string>$(member owner <<<"$later")</string>" >/dev/null

ids=$(call next_ids '<int>1000</int>' | grep -o '<i8>[0-9]*' | grep -o '[0-9]*$')
echo "1000 ids, from $(head -n 1 <<<"$ids") to $(tail -n 1 <<<"$ids")"
check 'the number of different ids' "$(sort --unique <<<"$ids" | wc -l)" 1000
sort --numeric-sort --check <<<"$ids"

fault=$(call lock "$name" '<int>0</int>')
echo "a lock for 0 ms: $(member faultCode <<<"$fault") $(member faultString <<<"$fault")"
check faultCode "$(member faultCode <<<"$fault")" -32602
