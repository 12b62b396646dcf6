"""A Ray cluster of two nodes in a process of its own, for tests: ``python ray_cluster.py``.

Prints one line of JSON when it is up: its address, and for each node the pid of its raylet. Ends, and the cluster with
it, when its standard input is closed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile

from ray.cluster_utils import Cluster

# Room for two replicas and a successor. The cluster takes our word for the GPUs.
NODE = {"num_cpus": 3, "num_gpus": 3, "object_store_memory": 100 << 20}
# A node that says nothing is dead after 2 s rather than 15.
QUICK = {"health_check_period_ms": 500, "health_check_timeout_ms": 1000, "health_check_failure_threshold": 4}


def main() -> None:
    """Start the nodes, say where they are, wait for the end."""
    directory = tempfile.mkdtemp(prefix="ray-")
    os.environ["RAY_TMPDIR"] = directory  # by an argument, Ray would still want its usual directory to exist
    try:
        head = {**NODE, "include_dashboard": False, "_system_config": QUICK}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        nodes = [cluster.head_node, cluster.add_node(**NODE)]
        raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
        print(json.dumps({"address": cluster.address, "raylets": raylets}), flush=True)
        sys.stdin.read()
        cluster.shutdown()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
