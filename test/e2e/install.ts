import { mkdirSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { stringify } from "yaml";
import type { Cluster } from "../../hack/cluster/cluster.ts";
import { images } from "../../hack/images/archives.ts";
import { stateFolder } from "../../hack/servers/registry.ts";

const SYSTEM = "audit-pipeline-system";
const base = resolve(import.meta.dirname, "../../config/default");

/** config/default with an overlay of this cluster's image, configuration and admin login; returns when it is available. */
export async function installOperator(cluster: Cluster): Promise<void> {
  const overlay = join(stateFolder, "overlay");
  mkdirSync(overlay, { recursive: true });
  const [name = "", tag = ""] = images.operator.tag.split(/:(?=[^:]*$)/);
  const write = (file: string, content: unknown) => writeFileSync(join(overlay, file), stringify(content));
  write("config.yaml", configuration(cluster));
  write("postgres.yaml", { username: cluster.postgres.admin.user, password: cluster.postgres.admin.password });
  write("kustomization.yaml", {
    ...{ apiVersion: "kustomize.config.k8s.io/v1beta1", kind: "Kustomization", namespace: SYSTEM },
    resources: [relative(overlay, base)],
    images: [{ name: "audit-pipeline-operator", newName: name, newTag: tag }],
    configMapGenerator: [{ name: "audit-pipeline-operator", files: ["config.yaml"] }],
    secretGenerator: [{ name: "audit-pipeline-backends", files: ["postgres.yaml"] }],
  });
  const { kubectl } = cluster;
  await kubectl(["apply", "--server-side", "-k", overlay]);
  await kubectl(["wait", "crd", "--all", "--for=condition=Established", "--timeout=60s"]);
  await kubectl(["-n", SYSTEM, "rollout", "status", "deployment/audit-pipeline-operator", "--timeout=120s"]).catch(
    async (error: unknown) => {
      throw new Error(`The operator did not become available:\n${await explain(cluster)}`, { cause: error });
    },
  );
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

const configuration = ({ kafka, postgres }: Cluster) => ({
  sink: { image: images.sink.tag },
  backends: {
    kafka: [{ name: "default", bootstrapServers: [kafka.bootstrapServers] }],
    postgres: [
      {
        ...{ name: "default", host: postgres.host, port: postgres.port, sslMode: "Disable" },
        adminSecretFile: "/etc/audit-pipeline-backends/postgres.yaml",
      },
    ],
  },
});
