#!/bin/sh
# Redis with a password that no process list shows, and a queue that outlives it.
set -eu
mkdir -p "$REDIS_DATA"
exec redis-server - <<EOF
bind $REDIS_BIND
port $REDIS_PORT
requirepass $REDIS_PASSWORD
dir $REDIS_DATA
appendonly yes
maxmemory-policy noeviction
loglevel warning
EOF
