"""Airflow's sign-in with people, roles and hashed passwords, where who may approve is a name and not a row's number."""

from typing import Any

from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager


class Named(FabAuthManager):
    """FAB's, with `promote.approvers` of params.yaml as user names."""

    def is_authorized_hitl_task(self, *, assigned_users: set[str], user: Any) -> bool:
        """Whether this user is one of those whom a task asks."""
        return user.get_name() in assigned_users
