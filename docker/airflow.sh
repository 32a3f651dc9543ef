#!/bin/sh
# Start one of Airflow's services on a clone of the project that is its own: airflow.sh scheduler
# `setup` and `migrate` make what all of them need, once. STATE is the service's folder, GIT_URL the repository that carries runs.
set -eu
umask 027
export HOME="$STATE" AIRFLOW_HOME="$STATE/airflow" PROJECT="${PROJECT:-$STATE/project}" LUTHIER_CACHE="$STATE/cache"
mkdir -p "$AIRFLOW_HOME" "${TMPDIR:-/tmp}"
rm -f "$AIRFLOW_HOME"/airflow-worker.pid # of a worker that was killed: this one would not start
if [ "$1" = setup ] || [ "$1" = migrate ]; then
    export AIRFLOW__CORE__DAGS_FOLDER="$PROJECT/dags"
    exec python "$PROJECT/docker/setup.py" "$1"
fi
if [ -d "$PROJECT" ]; then
    git -C "$PROJECT" pull --quiet --ff-only
else
    rm -rf "$PROJECT.new" # a clone appears whole
    git clone --quiet "$GIT_URL" "$PROJECT.new"
    mv "$PROJECT.new" "$PROJECT"
fi
if [ -n "${DVC_REMOTE_URL:-}" ]; then
    cat > "$PROJECT/.dvc/config.local" <<EOF
[core]
    remote = stack
['remote "stack"']
    url = $DVC_REMOTE_URL
    endpointurl = $S3_ENDPOINT
    verify = true
EOF
fi
export AIRFLOW__CORE__DAGS_FOLDER="$PROJECT/dags"
cd "$PROJECT"
exec python -m airflow "$@"
