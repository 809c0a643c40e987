import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startControlPlane } from "../../hack/cluster/control-plane.ts";
import { stateFolder } from "../../hack/servers/registry.ts";
import { connectApi } from "./api.ts";
import { installCrds } from "./crds.ts";

declare module "vitest" {
  export interface ProvidedContext {
    controlPlane: {
      kubeconfig: string;
      auditLog: string;
      /** Of users with no rights of their own. */
      kubeconfigs: { nobody: string };
    };
  }
}

/**
 * One API server for the run, with our CRDs and, of the controllers, the garbage collector and the one that ends
 * namespaces: a Deployment's status is then nobody's but the test's.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  mkdirSync(stateFolder, { recursive: true });
  const dir = mkdtempSync(join(stateFolder, "control-plane-"));
  const controllers = "garbage-collector-controller,namespace-controller,serviceaccount-controller";
  const plane = await startControlPlane({ dir, controllers });
  const api = connectApi(plane.kubeconfig);
  await installCrds(api);
  await api.close();
  const kubeconfigs = { nobody: plane.kubeconfigFor("nobody") };
  project.provide("controlPlane", { kubeconfig: plane.kubeconfig, auditLog: plane.auditLog, kubeconfigs });
  return async () => {
    await plane.stop();
    rmSync(dir, { recursive: true, force: true });
  };
}
