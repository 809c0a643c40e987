import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { launch, type Running } from "../servers/server.ts";
import { component } from "./build.ts";
import { CONTAINERD_SOCKET, POD_CIDR } from "./containerd.ts";
import type { ControlPlane } from "./control-plane.ts";

export const NODE_NAME = "node";

export interface NodeOptions {
  readonly dir: string;
  readonly plane: ControlPlane;
  /** The node's, not loopback: there `kubectl logs` would find nobody. */
  readonly address: string;
  /** Where the pods' control groups are. */
  readonly cgroup: string;
  /** Of the cluster's DNS server. Absent: pods resolve names as the machine does. */
  readonly dns?: string;
}

export async function startKubelet({ dir, plane, address, cgroup, dns }: NodeOptions): Promise<Running> {
  const folder = join(dir, "kubelet");
  mkdirSync(folder, { recursive: true });
  const serving = plane.ca.sign("kubelet", { hosts: [address, NODE_NAME] });
  const config = {
    ...{ apiVersion: "kubelet.config.k8s.io/v1beta1", kind: "KubeletConfiguration", address },
    authentication: { anonymous: { enabled: false }, x509: { clientCAFile: plane.ca.caFile } },
    authorization: { mode: "AlwaysAllow" },
    ...{ tlsCertFile: serving.certFile, tlsPrivateKeyFile: serving.keyFile },
    containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
    // What any machine has, version 1 of control groups and swap included.
    ...{ cgroupDriver: "cgroupfs", cgroupRoot: `/${cgroup}`, failCgroupV1: false, failSwapOn: false },
    enforceNodeAllocatable: [],
    // A machine that others fill as well is no reason to evict anything here.
    evictionHard: { "memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
    imageGCHighThresholdPercent: 100,
    volumePluginDir: join(folder, "volume-plugins"),
    resolvConf: resolvConf(folder),
    ...(dns === undefined ? {} : { clusterDNS: [dns], clusterDomain: "cluster.local" }),
    ...{ healthzPort: 0, syncFrequency: "10s", nodeStatusUpdateFrequency: "5s" },
  };
  const configFile = join(folder, "config.yaml");
  writeFileSync(configFile, stringify(config));
  return launch({
    ...{ kind: "kubelet", command: await component("kubelet"), cwd: folder, lifetime: "parent", disposable: [] },
    args: [
      ...[
        `--config=${configFile}`,
        `--kubeconfig=${plane.kubeconfigFor(`system:node:${NODE_NAME}`, ["system:nodes"])}`,
      ],
      ...[`--hostname-override=${NODE_NAME}`, `--node-ip=${address}`],
    ],
    ...{
      logFile: join(dir, "kubelet.log"),
      readyLine: "Started kubelet",
      readyWithinMs: 120_000,
      stopSignal: "SIGTERM",
    },
  });
}

/** Of a network with nothing outside: no name of the outer world is asked for. */
function resolvConf(folder: string): string {
  const file = join(folder, "resolv.conf");
  writeFileSync(file, "nameserver 127.0.0.1\n");
  return file;
}

/** Services, by iptables. */
export async function startProxy({ dir, plane, address }: NodeOptions): Promise<Running> {
  return launch({
    ...{ kind: "kube-proxy", command: await component("kube-proxy"), cwd: dir, lifetime: "parent", disposable: [] },
    args: [
      `--kubeconfig=${plane.kubeconfigFor("system:kube-proxy")}`,
      ...[`--hostname-override=${NODE_NAME}`, `--bind-address=${address}`, `--cluster-cidr=${POD_CIDR}`],
      // The machine's connection table is not ours to resize.
      ...["--proxy-mode=iptables", "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0"],
      ...["--conntrack-tcp-timeout-close-wait=0"],
    ],
    ...{
      logFile: join(dir, "kube-proxy.log"),
      readyLine: "Caches are synced",
      readyWithinMs: 60_000,
      stopSignal: "SIGTERM",
    },
  });
}
