import type { TestProject } from "vitest/node";
import { type Cluster, startCluster } from "../../hack/cluster/cluster.ts";
import { imageArchives } from "../../hack/images/archives.ts";
import { withProgress } from "../../hack/servers/run.ts";
import { installOperator } from "./install.ts";

export interface E2eCluster {
  kubeconfig: string;
  auditLog: string;
  bootstrapServers: string;
  /** Of a superuser, without a database. */
  postgresUrl: string;
}

declare module "vitest" {
  export interface ProvidedContext {
    cluster: E2eCluster;
  }
}

/** One cluster for the run, with the operator installed as a platform team does it. Its end is that of the namespaces. */
export default async function setup(project: TestProject): Promise<void> {
  const cluster = await startCluster(imageArchives());
  await withProgress("Installing the operator", () => installOperator(cluster));
  project.provide("cluster", provided(cluster));
}

function provided({ plane, kafka, postgres }: Cluster): E2eCluster {
  const { host, port, superuser } = postgres;
  return {
    kubeconfig: plane.kubeconfig,
    auditLog: plane.auditLog,
    bootstrapServers: kafka.bootstrapServers,
    postgresUrl: `postgresql://${superuser.user}:${superuser.password}@${host}:${port}`,
  };
}
