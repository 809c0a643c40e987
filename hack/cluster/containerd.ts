import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../servers/run.ts";
import { launch, type Running } from "../servers/server.ts";

export const CONTAINERD_SOCKET = "/run/containerd/containerd.sock";
export const POD_CIDR = "10.244.0.0/24";
const PAUSE_IMAGE = "localhost/pause:dev";

export interface Containerd extends Running {
  /** Makes the images of a docker-archive known to the kubelet. */
  load(archive: string): Promise<void>;
}

/** containerd with runc and a bridge for the pods; its sockets are in the cluster's own /run. */
export async function startContainerd(dir: string, pauseArchive: string): Promise<Containerd> {
  const folder = join(dir, "containerd");
  const networks = join(folder, "net.d");
  mkdirSync(networks, { recursive: true });
  writeFileSync(join(networks, "10-pods.conflist"), JSON.stringify(podNetwork(join(folder, "addresses"))));
  const config = join(folder, "config.toml");
  writeFileSync(config, configuration(join(folder, "root"), networks));
  const running = await launch({
    ...{ kind: "containerd", command: "containerd", args: ["--config", config], cwd: folder },
    ...{ logFile: join(dir, "containerd.log"), readyLine: "containerd successfully booted", readyWithinMs: 60_000 },
    ...{ stopSignal: "SIGTERM", lifetime: "parent", disposable: [] },
  });
  const load = async (archive: string) => {
    await run("ctr", ["--address", CONTAINERD_SOCKET, "-n", "k8s.io", "images", "import", archive]);
  };
  await load(pauseArchive);
  return { ...running, load };
}

/** `restrict_oom_score_adj`: without CAP_SYS_RESOURCE no sandbox starts otherwise. No registry is ever asked. */
const configuration = (root: string, networks: string) => `version = 2
root = "${root}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "${CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`;

const podNetwork = (addresses: string) => ({
  cniVersion: "0.4.0",
  name: "pods",
  plugins: [
    {
      ...{ type: "bridge", bridge: "pods0", isGateway: true, ipMasq: true, hairpinMode: true },
      ipam: {
        type: "host-local",
        ranges: [[{ subnet: POD_CIDR }]],
        routes: [{ dst: "0.0.0.0/0" }],
        dataDir: addresses,
      },
    },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
});
