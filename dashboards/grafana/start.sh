#!/bin/sh
# Does Grafana start with a demo credential? Not in production, as no other service does. Arguments: what starts it.
set -eu

refuse() {
    echo "ML_GUARD_ENV=production refuses demo credentials. $1" >&2
    exit 1
}

if [ "${ML_GUARD_ENV:-demo}" = production ]; then
    case "${GF_SECURITY_ADMIN_PASSWORD:-}" in
        "" | admin | ml_guard) refuse "Grafana's admin has the demo's password: set ML_GUARD_GRAFANA_ADMIN_PASSWORD." ;;
    esac
    case "${ML_GUARD_GRAFANA_PASSWORD:-}" in
        "" | ml_guard) refuse "ML_GUARD_GRAFANA_PASSWORD is the demo's or empty: set it for the database's migration too." ;;
    esac
fi
exec "$@"
