#!/bin/sh
# One stage of a run, in a container anywhere: luthier-job finetune
# An image has this file as `luthier-job` on its PATH, beside git and Luthier's packages. It clones the run's branch and
# does there what any worker does; the exit code is the stage's own. What it is told: tasks/jobs/told.py. Secrets, by the
# launcher's own means: LUTHIER_GIT_TOKEN (https), AWS_*, MLFLOW_TRACKING_USERNAME and _PASSWORD, and what DVC asks for.
set -eu
umask 077
work="${LUTHIER_WORK:-/work}"
mkdir -p "$work/home" "$work/cache" "$work/tmp"
export HOME="$work/home" TMPDIR="$work/tmp" LUTHIER_CACHE="$work/cache" DVC_SITE_CACHE_DIR="$work/site"
export USER="${USER:-luthier}" GIT_TERMINAL_PROMPT=0

if [ -n "${LUTHIER_AWS_SECRET:-}" ]; then # a JSON object of environment variables, in AWS Secrets Manager
    given="$(python -c 'import json, os, shlex
from botocore.session import get_session
secret = get_session().create_client("secretsmanager").get_secret_value(SecretId=os.environ["LUTHIER_AWS_SECRET"])
for name, value in json.loads(secret["SecretString"]).items():
    if not name.isidentifier():
        raise SystemExit(f"luthier: job: the secret has a key {name!r}, which is no name of a variable.")
    print(f"export {name}={shlex.quote(str(value))}")')" || exit 75
    eval "$given"
    unset given
fi
if [ -n "${LUTHIER_GIT_TOKEN:-}" ]; then # asked for by git, so that no URL, error or process list shows it
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=credential.helper
    export GIT_CONFIG_VALUE_0='!f() { echo "username=${LUTHIER_GIT_USER:-luthier}"; echo "password=$LUTHIER_GIT_TOKEN"; }; f'
fi

try=1
until rm -rf "$work/project" && git clone --quiet --no-checkout --no-tags --single-branch \
    --branch "$LUTHIER_BRANCH" "$LUTHIER_GIT_URL" "$work/project"; do
    if [ "$try" = 3 ]; then
        echo "luthier: job: $LUTHIER_BRANCH of $LUTHIER_GIT_URL cannot be cloned: see git's words above." >&2
        exit 75
    fi
    try=$((try + 1))
    sleep 3
done
cd "$work/project"
git checkout --quiet --detach "origin/$LUTHIER_BRANCH"
cd "./${LUTHIER_FOLDER:-}"
{
    printf "[core]\n    remote = %s\n['remote \"%s\"']\n    url = %s\n    verify = true\n" \
        "$LUTHIER_DVC_REMOTE" "$LUTHIER_DVC_REMOTE" "$LUTHIER_DVC_URL"
    [ -z "${LUTHIER_DVC_ENDPOINTURL:-}" ] || printf '    endpointurl = %s\n' "$LUTHIER_DVC_ENDPOINTURL"
    [ -z "${LUTHIER_DVC_REGION:-}" ] || printf '    region = %s\n' "$LUTHIER_DVC_REGION"
} > .dvc/config.local
if [ -n "${LUTHIER_HOSTS:-}" ]; then # SageMaker's file of the machines that share this job; Kubernetes tells a pod itself
    given="$(python -m tasks.jobs.hosts "$LUTHIER_HOSTS")"
    eval "$given"
fi
exec python -m tasks.workspace "$1"
