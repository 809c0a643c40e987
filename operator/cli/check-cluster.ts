import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import type { KubeFlags } from "../kubernetes/connect.ts";
import {
  type Account,
  type Crd,
  compareCrd,
  missingRights,
  OLDEST_MINOR,
  type Rule,
  serverVersion,
} from "../kubernetes/preflight.ts";
import type { Finding } from "./check.ts";
import { explained } from "./cluster-errors.ts";
import { crdTexts } from "./crds.ts";
import { connection } from "./open-cluster.ts";

export interface ClusterCheck extends KubeFlags {
  /** The operator's. */
  readonly account: Account;
  /** Namespaces it looks at; none: all. */
  readonly watched: readonly string[];
}

/** What the operator needs of a cluster: its version, our definitions, its rights. @throws Failure where none answers */
export async function checkCluster({ account, watched, ...flags }: ClusterCheck): Promise<Finding[]> {
  const { api, server } = connection(flags);
  try {
    const { version, supported } = await serverVersion(api);
    const found: Finding[] = [
      {
        ...{ check: "Kubernetes", result: supported ? "Ok" : "Failed" },
        detail: `${version} at ${server}${supported ? "" : `: 1.${OLDEST_MINOR} or newer is needed`}`,
      },
    ];
    for (const text of await crdTexts()) {
      const crd = parse(text) as Crd;
      found.push({ check: `CRD ${crd.metadata.name}`, ...crdFindings[await compareCrd(api, crd)] });
    }
    const inWatched = watched.length === 0 ? [undefined] : watched;
    const [inResources, inOwn] = await Promise.all([rulesOf("cluster-role.yaml"), rulesOf("role.yaml")]);
    for (const namespace of inWatched) {
      found.push(rightsFinding(account, namespace, await missingRights(api, account, inResources, namespace)));
    }
    found.push(rightsFinding(account, account.namespace, await missingRights(api, account, inOwn, account.namespace)));
    return found;
  } catch (error) {
    return explained(error, server);
  } finally {
    await api.close();
  }
}

const install = "audit-pipeline crds | kubectl apply --server-side -f -";
const crdFindings = {
  Same: { result: "Ok", detail: "as this version has it" },
  Other: { result: "Failed", detail: `differs from this version's; ${install}` },
  Missing: { result: "Failed", detail: `not installed; ${install}` },
  Unknown: { result: "Skipped", detail: "you may not read CustomResourceDefinitions" },
} as const;

/** The rules that an installation grants, as they are installed. */
async function rulesOf(file: string): Promise<readonly Rule[]> {
  const text = await readFile(new URL(`../../config/rbac/${file}`, import.meta.url), "utf8");
  return (parse(text) as { rules: readonly Rule[] }).rules;
}

function rightsFinding(account: Account, namespace: string | undefined, missing: string[] | undefined): Finding {
  const check = `Rights of ${account.namespace}/${account.name} in ${namespace ?? "all namespaces"}`;
  if (missing === undefined) {
    return { check, result: "Skipped", detail: "you may not create subjectaccessreviews: ask as a cluster admin" };
  }
  if (missing.length === 0) return { check, result: "Ok", detail: "all that it needs" };
  return {
    check,
    result: "Failed",
    detail: `missing: ${missing.join(", ")}; kubectl apply -k config/rbac grants them`,
  };
}
