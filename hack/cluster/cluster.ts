import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { startKafka } from "../servers/kafka.ts";
import { startPostgres } from "../servers/postgres.ts";
import { withProgress } from "../servers/run.ts";
import { startContainerd } from "./containerd.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { startKubelet, startProxy } from "./kubelet.ts";
import { CLUSTER_CGROUP, CLUSTER_DIR } from "./namespaces.ts";
import { pauseArchive } from "./pause.ts";

/** Of the node, and of Kafka and PostgreSQL, in the cluster's own network. */
export const NODE_ADDRESS = "10.88.0.1";

export interface Cluster {
  readonly plane: ControlPlane;
  readonly kafka: Awaited<ReturnType<typeof startKafka>>;
  readonly postgres: Awaited<ReturnType<typeof startPostgres>>;
  /** Makes the images of a docker-archive known to the node. */
  load(archive: string): Promise<void>;
  /** @throws with what kubectl said */
  kubectl(args: readonly string[], input?: string): Promise<string>;
}

/**
 * One node with all of Kubernetes, and a broker and a database beside it. To be called inside the namespaces of
 * namespaces.ts, whose end is the end of all this.
 */
export async function startCluster(archives: readonly string[]): Promise<Cluster> {
  const { [CLUSTER_DIR]: dir, [CLUSTER_CGROUP]: cgroup } = process.env;
  if (dir === undefined || cgroup === undefined) throw new Error("To be run by hack/cluster/isolated.ts");
  const servers = withProgress("Starting Kafka and PostgreSQL", () =>
    Promise.all([
      startKafka({ dir: join(dir, "kafka"), host: NODE_ADDRESS }),
      startPostgres({ major: 18, dir: join(dir, "postgres"), host: NODE_ADDRESS }),
    ]),
  );
  servers.catch(() => undefined);
  const [plane, containerd] = await withProgress("Starting Kubernetes", async () => {
    const both = Promise.all([
      startControlPlane({ dir: join(dir, "plane"), address: NODE_ADDRESS, controllers: "*", scheduler: true }),
      startContainerd(dir, await pauseArchive()),
    ]);
    return both;
  });
  const kubectl = kubectlOf(plane.kubeconfig);
  const node = { dir, plane, cgroup, address: NODE_ADDRESS };
  await withProgress("Starting the node", async () => {
    await Promise.all([startKubelet(node), startProxy(node)]);
    await kubectl(["wait", "node", "--all", "--for=condition=Ready", "--timeout=120s"]);
  });
  await withProgress("Loading images", async () => {
    for (const archive of archives) await containerd.load(archive);
  });
  const [kafka, postgres] = await servers;
  return { plane, kafka, postgres, kubectl, load: containerd.load };
}

const runFile = promisify(execFile);

const kubectlOf =
  (kubeconfig: string): Cluster["kubectl"] =>
  async (args, input = "") => {
    const running = runFile("kubectl", ["--kubeconfig", kubeconfig, ...args], { maxBuffer: 64 * 1024 * 1024 });
    running.child.stdin?.end(input);
    return (await running).stdout;
  };
