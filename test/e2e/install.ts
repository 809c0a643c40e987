import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { stringify } from "yaml";
import type { Cluster } from "../../hack/cluster/cluster.ts";
import { tool } from "../../hack/cluster/tools.ts";
import { images } from "../../hack/images/archives.ts";
import { stateFolder } from "../../hack/servers/registry.ts";

const runFile = promisify(execFile);
const SYSTEM = "audit-pipeline-system";
const RELEASE = "audit-pipeline";
const chart = resolve(import.meta.dirname, "../../charts/audit-pipeline");
const NAMESPACE = {
  ...{ apiVersion: "v1", kind: "Namespace" },
  metadata: { name: SYSTEM, labels: { "pod-security.kubernetes.io/enforce": "restricted" } },
};

/** The chart with values for this cluster's images and servers; returns when helm says that it is ready. */
export async function installOperator(cluster: Cluster): Promise<void> {
  const { kubectl, postgres } = cluster;
  const file = join(stateFolder, "values.yaml");
  mkdirSync(stateFolder, { recursive: true });
  writeFileSync(file, stringify(values(cluster)));
  await kubectl(["apply", "-f", "-"], stringify(NAMESPACE));
  const stringData = { username: postgres.admin.user, password: postgres.admin.password };
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "audit-postgres-admin" }, stringData };
  await kubectl(["-n", SYSTEM, "apply", "-f", "-"], stringify(secret));
  const options = ["--values", file, "--wait", "--timeout", "120s"];
  await helm(cluster.plane.kubeconfig, "install", RELEASE, chart, ...options).catch(async (error: unknown) => {
    throw new Error(`The operator did not become available:\n${await explain(cluster)}`, { cause: error });
  });
}

/** As a platform team does it at the end. */
export const uninstallOperator = (kubeconfig: string) => helm(kubeconfig, "uninstall", RELEASE, "--wait");

async function helm(kubeconfig: string, ...args: string[]): Promise<void> {
  const home = join(stateFolder, "helm");
  const folders = { HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
  const env = { ...process.env, ...folders, KUBECONFIG: kubeconfig };
  await runFile(await tool("helm"), [...args, "--namespace", SYSTEM], { env });
}

/** What a person would look at next. */
async function explain({ kubectl }: Cluster): Promise<string> {
  const asked = [
    ["describe", "pods"],
    ["logs", "deployment/audit-pipeline-operator", "--tail=30"],
  ];
  const answers = asked.map((args) => kubectl(["-n", SYSTEM, ...args]).catch(String));
  return (await Promise.all(answers)).join("\n");
}

function values({ kafka, postgres }: Cluster) {
  const { host, port } = postgres;
  const adminSecretRef = { name: "audit-postgres-admin" };
  return {
    image: imageOf(images.operator.tag),
    sinkImage: imageOf(images.sink.tag),
    backends: {
      kafka: { default: { bootstrapServers: [kafka.bootstrapServers] } },
      postgres: { default: { host, port, sslMode: "Disable", adminSecretRef } },
    },
  };
}

function imageOf(reference: string) {
  const [repository = "", tag = ""] = reference.split(/:(?=[^:]*$)/);
  return { repository, tag };
}
