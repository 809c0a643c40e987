import { randomBytes } from "node:crypto";
import type { Key, Outcome, Reconciler, Tools } from "../runtime/controller.ts";
import type { KubeObject, ObjectStore } from "../runtime/object-store.ts";
import { seconds } from "./pod-run.ts";
import { deploymentStatus, planRollout, templateHash } from "./rollout.ts";
import { type Deployment, type Pod, processFinalizer, templateHashLabel } from "./workload-types.ts";

interface DeploymentOutcome extends Outcome {
  pods: Pod[];
  /** RFC 3339. */
  now: string;
}

/** Makes and removes the Pod objects of Deployments. No ReplicaSets: a pod carries the hash of its template. */
export function deploymentReconciler(): Reconciler<Deployment, DeploymentOutcome> {
  return {
    kind: "Deployment",
    watches: [{ kind: "Pod", map: ownersOf }],
    interval: () => 60_000,

    async reconcile(deployment, { store, log }) {
      const { create, remove } = planRollout(deployment, await podsOf(deployment, store));
      for (const { kind, metadata } of remove) {
        log.info({ pod: metadata.name }, "Removing pod");
        await store.delete({ kind, namespace: metadata.namespace, name: metadata.name }, { uid: metadata.uid });
      }
      for (let made = 0; made < create; made += 1) await createPod(deployment, { store, log });
      return { pods: await podsOf(deployment, store), now: seconds(new Date()) };
    },

    status(deployment, result) {
      if (result.kind !== "Reconciled") return undefined;
      return deploymentStatus(deployment, result.outcome.pods, result.outcome.now);
    },
  };
}

async function podsOf({ metadata }: Deployment, store: ObjectStore): Promise<Pod[]> {
  const { items } = await store.list<Pod>("Pod", { namespace: metadata.namespace });
  return items.filter((pod) => pod.metadata.ownerReferences?.some(({ uid }) => uid === metadata.uid));
}

async function createPod(
  deployment: Deployment,
  { store, log }: Pick<Tools<Deployment>, "store" | "log">,
): Promise<void> {
  const { template } = deployment.spec;
  const { namespace, name, uid } = deployment.metadata;
  const hash = templateHash(deployment);
  const { metadata } = await store.create<Pod>({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      namespace,
      name: `${name}-${hash}-${randomBytes(3).toString("hex")}`,
      labels: { ...template.metadata?.labels, [templateHashLabel]: hash },
      annotations: { ...template.metadata?.annotations },
      finalizers: [processFinalizer],
      ownerReferences: [{ apiVersion: deployment.apiVersion, kind: deployment.kind, name, uid, controller: true }],
    },
    spec: template.spec,
  });
  log.info({ pod: metadata.name }, "Created pod");
}

function ownersOf({ metadata: { namespace, ownerReferences = [] } }: KubeObject): Key[] {
  return ownerReferences.filter(({ kind }) => kind === "Deployment").map(({ name }) => ({ namespace, name }));
}
