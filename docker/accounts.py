"""MLflow's user for workers, made once: default_permission gives it nothing but what it makes itself.

    python docker/accounts.py        # by the service `accounts` of compose.yaml; MLFLOW_TRACKING_* say who asks whom

Truth: mlflow 3.17, `mlflow/server/auth/routes.py`.
"""

import os

import httpx

USER = "worker"


def main() -> None:
    """Make the user, or give it the password that is asked for."""
    asks = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"])
    given = {"username": USER, "password": os.environ["MLFLOW_WORKER_PASSWORD"]}
    with httpx.Client(base_url=os.environ["MLFLOW_TRACKING_URI"], auth=asks, trust_env=False, timeout=60) as mlflow:
        known = mlflow.get("/api/2.0/mlflow/users/get", params={"username": USER})
        if known.status_code == httpx.codes.NOT_FOUND:
            mlflow.post("/api/2.0/mlflow/users/create", json=given).raise_for_status()
        else:
            known.raise_for_status()
            mlflow.patch("/api/2.0/mlflow/users/update-password", json=given).raise_for_status()
    print(f"accounts: MLflow knows {USER}", flush=True)


if __name__ == "__main__":
    main()
