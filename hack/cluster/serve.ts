import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { imageArchives } from "../images/archives.ts";
import { startCluster } from "./cluster.ts";
import { kubectlProgram } from "./kubectl.ts";
import { envFile, kubeconfigFile, programFolder } from "./running.ts";

/** Inside its namespaces: the developer's cluster, until SIGTERM. */
process.on("SIGTERM", () => process.exit(0));
const { plane, kafka, postgres } = await startCluster(imageArchives());
const { host, port, admin } = postgres;
copyFileSync(plane.kubeconfig, kubeconfigFile);
mkdirSync(programFolder, { recursive: true });
symlinkSync(await kubectlProgram(), join(programFolder, "kubectl"));
const lines = [
  `KUBECONFIG=${kubeconfigFile}`,
  `KAFKA_BOOTSTRAP_SERVERS=${kafka.bootstrapServers}`,
  `POSTGRES_ADMIN_URL=postgresql://${admin.user}:${admin.password}@${host}:${port}/postgres`,
];
writeFileSync(envFile, `${lines.join("\n")}\n`, { mode: 0o600 });
setInterval(() => undefined, 60_000);
