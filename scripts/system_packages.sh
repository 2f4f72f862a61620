#!/bin/sh
# Installs the system's packages some tests and benchmarks drive, where it can: Debian or Ubuntu, as root.
# Without them those tests are skipped, with their reason. YEOUL_SYSTEM_PACKAGES=no leaves the system alone.
set -eu

# command        package          who needs it
needs='
chromium         chromium         browser tests (tests/e2e)
redis-server     redis-server     tests of the Redis doorbell, peers in benchmarks
rabbitmq-server  rabbitmq-server  tests of the RabbitMQ doorbell
nginx            nginx-light      tests of deploy/nginx
openssl          openssl          tests of deploy/nginx (its certificate)
faketime         faketime         tests of workers with a wrong clock (tests/faults)
'

missing=$(echo "$needs" | while read -r command package why; do
    [ -z "$command" ] || command -v "$command" >/dev/null 2>&1 || echo "$package|$why"
done)
[ -n "$missing" ] || exit 0
packages=$(echo "$missing" | cut -d '|' -f 1 | tr '\n' ' ')

skip() {
    echo "▸ Not installed, because $1:"
    echo "$missing" | while IFS='|' read -r package why; do echo "    $package: without it, skipped: $why"; done
    exit 0
}
[ "${YEOUL_SYSTEM_PACKAGES:-yes}" != no ] || skip "YEOUL_SYSTEM_PACKAGES=no"
command -v apt-get >/dev/null 2>&1 || skip "this is no Debian or Ubuntu (install them your system's way)"
[ "$(id -u)" = 0 ] || skip "that takes root (sudo apt-get install $packages)"

# Debian starts a service it installs, unless this policy says no. The tests start their own, on ports of their own.
policy=${YEOUL_POLICY:-/usr/sbin/policy-rc.d}  # the tests of this script name another
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi

echo "▸ Installing system packages with apt-get: $packages(once, a minute or two)"
export DEBIAN_FRONTEND=noninteractive
quiet=-qq
[ ! -t 1 ] || quiet=-q
apt() { apt-get "$quiet" -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@" </dev/null; }
# shellcheck disable=SC2086  # a list of words
apt update && apt install --no-install-recommends $packages || skip "apt-get failed (its words are above)"
