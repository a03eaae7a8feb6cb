# Run by process 1 of a Debian 12 in which the .deb was installed before its first boot.
set -eu

say() { echo "trial: $*"; }
die() {
    say "FAILED: $*"
    systemctl status tracer --no-pager || :
    journalctl -u tracer --no-pager -o cat | tail -n 20
    exit 1
}
# Waits up to $1 seconds for a command to succeed.
within() {
    limit=$1
    shift
    until "$@" >/dev/null 2>&1; do
        limit=$((limit - 1))
        [ "$limit" -gt 0 ] || die "in vain: $*"
        sleep 1
    done
}
metrics() { curl --silent --fail --max-time 20 http://127.0.0.1:9520/metrics; }
pid() { systemctl show --property=MainPID --value tracer; }
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(pid)/status"; }
other_pid() { [ "$(pid)" != 0 ] && [ "$(pid)" != "$1" ] && systemctl is-active --quiet tracer; }

say "Linux $(uname -r), $(systemctl --version | head -n 1)"
within 120 systemctl is-active --quiet tracer
say "is-active: $(systemctl is-active tracer), is-enabled: $(systemctl is-enabled tracer)"

# Names with a colon are what newer kernels add to a tracepoint.
attached=$(metrics | grep '^tracer_probe_attached{' | grep -v 'probe="[^"]*:')
say "$(echo "$attached" | grep -c ' 1$') of $(echo "$attached" | wc -l) probes attached"
! echo "$attached" | grep -v ' 1$' || die "a probe is not attached"

[ "$(status Uid | cut -f1)" -gt 60000 ] || die "runs as $(status Uid)"
for set in CapEff CapPrm CapAmb CapInh NoNewPrivs Seccomp; do say "$set $(status $set)"; done
[ "$(status CapEff)" = 0000000000080000 ] || die "keeps more than CAP_SYS_PTRACE"
[ "$(status Seccomp)" = 2 ] || die "runs without a filter of system calls"

count() { metrics | sed -n 's/^tracer_failures_total{cause="port_closed",edge_status="521"} //p'; }
before=$(count)
! curl --silent http://127.0.0.1:81/ || die "something listens on port 81"
told() { [ "$(count)" -gt "$before" ]; }
within 20 told
say "a failure is told: port_closed $before -> $(count)"

old=$(pid)
sed -i 's,^extra-range.*,extra-range = ["127.0.0.0/8"\, "192.0.2.0/24"],' /etc/tracer/tracer.toml
ranges() { metrics | sed -n 's/^tracer_edge_ranges{family="ipv4"} //p'; }
before=$(ranges)
systemctl reload tracer || die "reload"
more() { [ "$(ranges)" -gt "$before" ]; }
within 20 more
[ "$(pid)" = "$old" ] || die "a reload restarted it"
say "reload: $before -> $(ranges) IPv4 ranges, the same process"

restarts() { systemctl show --property=NRestarts --value tracer; }
before=$(restarts)
kill -STOP "$old"
within 90 other_pid "$old"
[ "$(restarts)" = $((before + 1)) ] || die "not restarted once"
journalctl -u tracer -o cat | grep -i watchdog
within 60 metrics
say "watchdog: a stopped process was replaced, and its successor serves"

systemctl stop tracer
[ "$(systemctl show --property=Result --value tracer)" = success ] || die "did not end in order"
say "stop: $(systemctl is-active tracer || :)"
say "exposure: $(systemd-analyze security tracer.service --no-pager | tail -n 1)"
say "all passed"
