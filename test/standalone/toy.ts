import { fileURLToPath } from "node:url";
import { type Logger, pino } from "pino";
import type { Reconciler } from "../../operator/runtime/controller.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { type Standalone, startStandalone } from "../../operator/standalone/standalone.ts";

/** A resource for tests: a ConfigMap that asks for a Deployment of toy pods. */
export type Toy = KubeObject & {
  data: { replicas: string; value: string; behaviour: string; doubles: string };
};

export const toy = (name: string, data: Partial<Toy["data"]> = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "team-a" },
  data: { replicas: "1", value: "1", behaviour: "serve", doubles: "none", ...data },
});

export const toyReconciler: Reconciler<Toy> = {
  kind: "ConfigMap",
  finalizer: "example.io/toy",
  watches: [{ kind: "Deployment", map: ({ metadata }) => [metadata] }],
  interval: () => 60_000,
  async reconcile(resource, { store }) {
    await store.apply(deployment(resource), { fieldManager: "toy" });
    return {};
  },
  async finalize() {
    return "done";
  },
  status: () => undefined,
};

function deployment({ metadata: { name, namespace, uid }, data }: Toy) {
  const probe = (path: string) => ({ httpGet: { path, port: "admin" } });
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace, ownerReferences: [{ apiVersion: "v1", kind: "ConfigMap", name, uid }] },
    spec: {
      replicas: Number(data.replicas),
      selector: { matchLabels: { app: name } },
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: 2,
          containers: [
            {
              name: "main",
              image: "toy",
              command: ["toy-pod"],
              args: [data.behaviour],
              env: [
                { name: "VALUE", value: data.value },
                { name: "TOY_DOUBLES", value: data.doubles },
                { name: "POD_UID", valueFrom: { fieldRef: { fieldPath: "metadata.uid" } } },
              ],
              ports: [{ name: "admin", containerPort: 8080 }],
              readinessProbe: probe("/readyz"),
            },
          ],
        },
      },
    },
  };
}

const toyPod = fileURLToPath(new URL("toy-pod.ts", import.meta.url));

export function startToys(stateDir: string, log: Logger = pino({ level: "silent" })): Promise<Standalone> {
  return startStandalone({
    ...{ stateDir, log },
    reconcilers: () => [toyReconciler],
    commands: { "toy-pod": [process.execPath, toyPod] },
    restart: { baseMs: 100, maxMs: 1_000, steadyMs: 600_000 },
  });
}
