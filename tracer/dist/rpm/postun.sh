# $1: how many versions are left.
if command -v systemctl >/dev/null; then
    systemctl daemon-reload >/dev/null 2>&1 || :
    if [ "$1" -ge 1 ]; then
        systemctl try-restart tracer.service >/dev/null 2>&1 || :
    fi
fi
if [ "$1" -eq 0 ]; then
    # The folders that were its own.
    for dir in doc/origin-tracer/runbook doc/origin-tracer licenses/origin-tracer \
        origin-tracer/grafana origin-tracer/prometheus origin-tracer; do
        rmdir "/usr/share/$dir" 2>/dev/null || :
    done
fi
