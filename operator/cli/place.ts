import { Failure } from "./failure.ts";

/** Where the resources are that a command is about. */
export type Place =
  | { readonly kind: "Standalone"; readonly stateDir: string }
  | { readonly kind: "Cluster"; readonly kubeconfig?: string; readonly context?: string };

export interface PlaceFlags {
  state?: string;
  kubeconfig?: string;
  context?: string;
}

/**
 * A flag decides; without one, a standalone where AUDIT_PIPELINE_STATE names it; else the cluster kubectl would use. Pure.
 *
 * @throws Failure with exit code 2 for flags of both
 */
export function placeOf({ state, kubeconfig, context }: PlaceFlags, env: NodeJS.ProcessEnv): Place {
  const cluster = kubeconfig !== undefined || context !== undefined;
  if (state !== undefined && cluster) {
    const flag = kubeconfig === undefined ? "--context" : "--kubeconfig";
    throw new Failure(`--state is a standalone and ${flag} a cluster: say one of them`, 2);
  }
  const stateDir = state ?? (cluster ? undefined : env["AUDIT_PIPELINE_STATE"]);
  if (stateDir !== undefined && stateDir !== "") return { kind: "Standalone", stateDir };
  return {
    ...{ kind: "Cluster" as const },
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
  };
}
