import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isRunning, type ProcessIdentity } from "../servers/process.ts";
import { cloneState } from "../servers/registry.ts";

/** The cluster of `make cluster-up`: one for a clone. */
export const developerCluster = join(cloneState, "cluster");
/** Who keeps it; written before the cluster is started. */
export const keeperFile = join(cloneState, "cluster-keeper.json");
/** A process in the cluster's network, for nsenter. */
export const pidFile = join(developerCluster, "pid");
/** How to connect; written when all is ready. */
export const envFile = join(developerCluster, "env");
/** Before all others in the PATH of `hack/in-cluster`: the cluster's own kubectl. */
export const programFolder = join(developerCluster, "bin");
export const kubeconfigFile = join(developerCluster, "kubeconfig");

/** Who keeps the developer's cluster, if anybody does. */
export function keeper(): ProcessIdentity | undefined {
  try {
    const identity = JSON.parse(readFileSync(keeperFile, "utf8")) as ProcessIdentity;
    return isRunning(identity) ? identity : undefined;
  } catch {
    return undefined;
  }
}
