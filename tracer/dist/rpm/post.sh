# $1: how many versions are installed now.
if command -v systemctl >/dev/null; then
    systemctl daemon-reload >/dev/null 2>&1 || :
    if [ "$1" -eq 1 ]; then
        systemctl --no-reload preset tracer.service >/dev/null 2>&1 || :
    fi
fi
