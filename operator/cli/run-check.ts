import { operatorConfig } from "../config.ts";
import { probeBackends } from "../external/preflight.ts";
import type { Finding } from "./check.ts";
import { placeOf } from "./place.ts";
import type { CheckFlags } from "./program.ts";
import { configOf } from "./standalone.ts";

/** `check`: the cluster, unless it is about a standalone, and the back-ends of the configuration. */
export async function runCheck(flags: CheckFlags): Promise<Finding[]> {
  const config = flags.config === undefined ? operatorConfig.parse({}) : configOf(flags.config);
  const place = placeOf(flags, process.env);
  const account = { namespace: flags.operatorNamespace ?? config.namespace, name: flags.serviceAccount };
  const inCluster = async () => {
    const { checkCluster } = await import("./check-cluster.ts");
    return checkCluster({ ...flags, account, watched: config.watchNamespaces });
  };
  const found = place.kind === "Cluster" ? await inCluster() : [];
  if (flags.config === undefined) return [...found, unknownBackends(account.namespace)];
  const probes = await probeBackends(config.backends);
  const ofBackends = probes.map(
    ({ backend, ok, detail }): Finding => ({ check: backend, result: ok ? "Ok" : "Failed", detail }),
  );
  return [...found, ...ofBackends];
}

/** Their addresses and logins are the operator's own. */
const unknownBackends = (namespace: string): Finding => ({
  ...{ check: "Back-ends", result: "Skipped" },
  detail: `no --config; from the operator's own place: kubectl exec -n ${namespace} deploy/audit-pipeline-operator -- audit-pipeline check`,
});
