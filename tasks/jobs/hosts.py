"""Which machine of a SageMaker job this is: from the file that SageMaker gives each of them, as torchrun's variables.

    eval "$(python -m tasks.jobs.hosts /opt/ml/input/config/resourceconfig.json)"      # docker/job.sh

    {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"], "network_interface_name": "eth0", ...}

Truth: Amazon SageMaker AI, "How Amazon SageMaker Provides Training Information", distributed training configuration.
"""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.data.files import read_json
from tasks.nodes import Node

FILE = "/opt/ml/input/config/resourceconfig.json"
INTERFACES = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME")  # a container has others, which lead nowhere


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """The variables of this machine, by name."""
    hosts = sorted(config["hosts"])  # the same order on each
    here = Node(hosts.index(config["current_host"]), len(hosts), hosts[0])
    interface = config.get("network_interface_name")
    return here.environment() | (dict.fromkeys(INTERFACES, interface) if interface else {})


if __name__ == "__main__":
    for name, value in environment(read_json(Path(sys.argv[1]))).items():
        print(f"export {name}={shlex.quote(value)}")
