import { join } from "node:path";
import { startKafka } from "../servers/kafka.ts";
import { startPostgres } from "../servers/postgres.ts";
import { withProgress } from "../servers/run.ts";
import { startContainerd } from "./containerd.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { type Kubectl, kubectlOf } from "./kubectl.ts";
import { NODE_NAME, startKubelet, startProxy } from "./kubelet.ts";
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
  readonly kubectl: Kubectl;
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
    // The kubelet says it started before it made itself known.
    await kubectl(["wait", `node/${NODE_NAME}`, "--for=create", "--timeout=120s"]);
    await kubectl(["wait", `node/${NODE_NAME}`, "--for=condition=Ready", "--timeout=120s"]);
  });
  await withProgress("Loading images", async () => {
    for (const archive of archives) await containerd.load(archive);
  });
  const [kafka, postgres] = await servers;
  return { plane, kafka, postgres, kubectl, load: containerd.load };
}
