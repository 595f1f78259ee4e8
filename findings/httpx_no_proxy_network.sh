#!/bin/sh
# httpx 0.28.1, seen on 2026-11-28.
#
# Expected: NO_PROXY may name a network, as it does on machines with IPv6; curl and Go take it.
# Seen: with a proxy set beside it, httpx raises InvalidURL when a client is made, whatever address
# it is then asked for: it reads what stands behind the first colon as a port. With a network of
# IPv4 nothing is raised. The message names neither the variable nor the proxy.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check httpx==0.28.1
made() {
    env -u no_proxy -u ALL_PROXY -u all_proxy -u http_proxy -u https_proxy -u HTTP_PROXY \
        HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY="$1" venv/bin/python - <<'PYTHON'
import httpx

try:
    httpx.Client().close()
    print("made")
except httpx.InvalidURL as error:
    print(f"InvalidURL: {error}")
PYTHON
}
four=$(made 10.0.0.0/8)
six=$(made fd00:1234::/32)
echo "NO_PROXY=10.0.0.0/8:     $four"
echo "NO_PROXY=fd00:1234::/32: $six"
case "$four, $six" in
    "made, InvalidURL: "*) ;;
    *)
        echo "the behaviour has changed" >&2
        exit 1
        ;;
esac
