import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startControlPlane } from "../../hack/cluster/control-plane.ts";
import { tool } from "../../hack/cluster/tools.ts";
import { stateFolder } from "../../hack/servers/registry.ts";

declare module "vitest" {
  export interface ProvidedContext {
    apiServer: { kubeconfig: string };
    helm: { program: string; home: string };
  }
}

/** One API server for the run; of the controllers, those that end namespaces, collect garbage and check the types of CEL. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  mkdirSync(stateFolder, { recursive: true });
  const dir = mkdtempSync(join(stateFolder, "install-"));
  const controllers =
    "namespace-controller,garbage-collector-controller,serviceaccount-controller,validatingadmissionpolicy-status-controller,clusterrole-aggregation-controller";
  const program = await tool("helm");
  const plane = await startControlPlane({ dir, controllers });
  project.provide("apiServer", { kubeconfig: plane.kubeconfig });
  project.provide("helm", { program, home: join(dir, "helm") });
  return async () => {
    await plane.stop();
    rmSync(dir, { recursive: true, force: true });
  };
}
