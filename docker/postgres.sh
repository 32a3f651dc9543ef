#!/bin/sh
# PostgreSQL as a process of this machine, as its image starts it: made at the first start, with a password, on loopback.
set -eu
found=$(command -v postgres || ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | tail -n 1)
[ -n "$found" ] || { echo "PostgreSQL is not installed: apt-get install postgresql" >&2; exit 1; }
as=""
[ "$(id -u)" != 0 ] || as="setpriv --reuid=postgres --regid=postgres --clear-groups" # it does not run as root
if [ ! -f "$PGDATA/PG_VERSION" ]; then # it appears whole
    new="$PGDATA.new"
    rm -rf "$new"
    mkdir -p "$new"
    chmod 700 "$new"
    (umask 077 && printf '%s' "$POSTGRES_PASSWORD" > "$new.password")
    [ -z "$as" ] || chown postgres: "$new" "$new.password"
    # shellcheck disable=SC2086  # words of a command
    (cd / && $as "$(dirname "$found")/initdb" --pgdata="$new" --username=postgres --pwfile="$new.password" $POSTGRES_INITDB_ARGS)
    rm "$new.password"
    mv "$new" "$PGDATA"
fi
cd /
# shellcheck disable=SC2086
exec $as "$found" -D "$PGDATA" -c listen_addresses="$PGHOST" -c port="$PGPORT" -c unix_socket_directories= "$@"
