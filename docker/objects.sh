#!/bin/sh
# SeaweedFS as one process: master, volume, filer and S3 gateway; who may do what stands in a file that only it reads.
set -eu
umask 077
mkdir -p "$S3_DATA"
cat > "$S3_DATA/identities.json" <<EOF
{"identities": [
  {"name": "setup", "credentials": [{"accessKey": "$ADMIN_S3_KEY_ID", "secretKey": "$ADMIN_S3_SECRET"}], "actions": ["Admin"]},
  {"name": "workers", "credentials": [{"accessKey": "$WORKER_S3_KEY_ID", "secretKey": "$WORKER_S3_SECRET"}], "actions": ["Read:dvc", "Write:dvc", "List:dvc"]},
  {"name": "mlflow", "credentials": [{"accessKey": "$MLFLOW_S3_KEY_ID", "secretKey": "$MLFLOW_S3_SECRET"}], "actions": ["Read:mlflow", "Write:mlflow", "List:mlflow"]}
]}
EOF
cd "$S3_DATA"
port=$SEAWEED_PORT
exec weed -logtostderr=true -v=0 server -dir="$S3_DATA" -ip="$S3_HOST" -ip.bind="$S3_BIND" \
    -master.port="$port" -master.port.grpc="$((port + 1))" -volume.port="$((port + 2))" -volume.port.grpc="$((port + 3))" \
    -filer -filer.port="$((port + 4))" -filer.port.grpc="$((port + 5))" -filer.disableDirListing \
    -s3 -s3.port="$S3_PORT" -s3.port.grpc="$((port + 6))" -s3.config="$S3_DATA/identities.json" \
    -s3.port.iceberg=0 -s3.port.lance=0 -volume.max=0 -master.volumeSizeLimitMB=1024 -master.telemetry=false -master.electionTimeout=1s
