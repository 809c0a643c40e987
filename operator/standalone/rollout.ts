import { createHash } from "node:crypto";
import {
  type Condition,
  type Deployment,
  type DeploymentStatus,
  isReady,
  type Pod,
  templateHashLabel,
} from "./workload-types.ts";

export interface Rollout {
  /** New pods to make. */
  create: number;
  remove: Pod[];
}

/** What a pod is made from; equal for equal templates, whatever the order of their members. */
export function templateHash({ spec }: Deployment): string {
  return createHash("sha256")
    .update(JSON.stringify(sorted(spec.template)))
    .digest("hex")
    .slice(0, 10);
}

/**
 * The next step from the pods that are there to those that should be: one template, `replicas` of them. As in a cluster,
 * new ones are made up to `maxSurge` above, old ones go while no more than `maxUnavailable` are missing, and an old pod
 * that is not ready goes at once, so that a bad template never stands in the way of its correction. Pure.
 */
export function planRollout(deployment: Deployment, pods: readonly Pod[]): Rollout {
  const { desired, surge, unavailable, recreate } = limits(deployment);
  const hash = templateHash(deployment);
  const living = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const current = living.filter((pod) => hashOf(pod) === hash);
  const old = living.filter((pod) => hashOf(pod) !== hash);

  if (recreate && pods.some((pod) => hashOf(pod) !== hash)) return { create: 0, remove: old };

  const excess = leastUseful(current).slice(0, Math.max(0, current.length - desired));
  const room = desired + surge - living.length;
  const create = Math.max(0, Math.min(desired - current.length, room));
  const ready = living.filter((pod) => isReady(pod) && !excess.includes(pod)).length;
  const spare = Math.max(0, ready - (desired - unavailable));
  const unready = old.filter((pod) => !isReady(pod));
  const replaceable = leastUseful(old.filter(isReady)).slice(0, spare);
  return { create, remove: [...excess, ...unready, ...replaceable] };
}

/** As a cluster's Deployment controller reports it. `now` is RFC 3339. */
export function deploymentStatus(deployment: Deployment, pods: readonly Pod[], now: string): DeploymentStatus {
  const { desired, unavailable } = limits(deployment);
  const hash = templateHash(deployment);
  const living = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const updated = living.filter((pod) => hashOf(pod) === hash);
  const ready = living.filter(isReady).length;
  const complete = updated.filter(isReady).length >= desired && living.length === desired;
  const before = deployment.status?.conditions ?? [];
  return {
    observedGeneration: deployment.metadata.generation,
    replicas: living.length,
    updatedReplicas: updated.length,
    readyReplicas: ready,
    availableReplicas: ready,
    unavailableReplicas: Math.max(0, desired - ready),
    conditions: [
      ready >= desired - unavailable
        ? condition("Available", "True", "MinimumReplicasAvailable", `${ready} of ${desired} pods are ready`)
        : condition("Available", "False", "MinimumReplicasUnavailable", `${ready} of ${desired} pods are ready`),
      complete
        ? condition("Progressing", "True", "NewReplicaSetAvailable", "All pods are of the present template")
        : condition("Progressing", "True", "ReplicaSetUpdated", `${updated.length} of ${desired} pods are updated`),
    ].map((next) => dated(next, before, now)),
  };
}

function limits({ spec: { replicas = 1, strategy } }: Deployment) {
  const { maxSurge = "25%", maxUnavailable = "25%" } = strategy?.rollingUpdate ?? {};
  const surge = share(maxSurge, replicas, Math.ceil);
  const unavailable = share(maxUnavailable, replicas, Math.floor);
  // Both 0 would never move on; a cluster then allows one to be missing.
  return {
    desired: replicas,
    surge,
    unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable,
    recreate: strategy?.type === "Recreate",
  };
}

function share(value: number | string, of: number, round: (value: number) => number): number {
  return typeof value === "number" ? value : round((Number.parseInt(value, 10) / 100) * of);
}

/** Unready before ready, young before old. */
function leastUseful(pods: readonly Pod[]): Pod[] {
  const key = (pod: Pod) => `${isReady(pod) ? 1 : 0}`;
  const age = ({ metadata }: Pod) => metadata.creationTimestamp;
  return pods.toSorted((a, b) => key(a).localeCompare(key(b)) || age(b).localeCompare(age(a)));
}

type Undated = Omit<Condition, "lastTransitionTime">;

const condition = (type: string, status: Condition["status"], reason: string, message: string): Undated => ({
  ...{ type, status, reason, message },
});

/** The time moves only when the status does. */
export function dated(next: Undated, before: readonly Condition[], now: string): Condition {
  const same = before.find(({ type, status }) => type === next.type && status === next.status);
  return { ...next, lastTransitionTime: same?.lastTransitionTime ?? now };
}

const hashOf = ({ metadata }: Pod) => metadata.labels?.[templateHashLabel];

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, member]) => [name, sorted(member)]));
}
