import type { KubeObject } from "../runtime/object-store.ts";
import type { Report } from "../status/conditions.ts";

/** What is read of a sink's Deployment. */
export interface Deployment extends KubeObject {
  status?: { observedGeneration?: number; updatedReplicas?: number; readyReplicas?: number; replicas?: number };
}

/** What is read of its pods: of a core/v1 Pod, and of one that is a process. */
export interface Pod extends KubeObject {
  status?: {
    containerStatuses?: readonly {
      ready?: boolean;
      restartCount?: number;
      state?: { waiting?: { reason?: string } };
      lastState?: {
        terminated?: { exitCode?: number; signal?: string | number; reason?: string; finishedAt?: string };
      };
    }[];
  };
}

/** How soon pods that are not ready are looked at again: a crash loop moves nothing in their Deployment. */
export const ROLLOUT_LOOK_MS = 10_000;
/** Ten minutes of running forgive earlier crashes, for the kubelet too. */
const FORGIVEN_AFTER_MS = 600_000;

/** Whether the sink runs as the spec says. Pure. */
export function rolloutReport(
  deployment: Deployment | undefined,
  pods: readonly Pod[],
  wanted: number,
  nowMs: number,
): Report {
  const { observedGeneration = 0, updatedReplicas = 0, readyReplicas = 0, replicas = 0 } = deployment?.status ?? {};
  const seen = observedGeneration >= (deployment?.metadata.generation ?? 0);
  const message = `${readyReplicas} of ${wanted} pods of ${deployment?.metadata.name ?? "the sink"} are ready`;
  if (seen && wanted === 0 && replicas === 0) return suspended("True");
  if (seen && updatedReplicas === wanted && readyReplicas === wanted) return { kind: "Ok", message };
  return crashLoop(pods, nowMs) ?? { kind: "Waiting", reason: "PodsNotReady", message };
}

/** It is asked for, so it is no trouble; whoever reads must still see that nothing is stored. */
export const suspended = (status: "True" | "Unknown"): Report => ({
  kind: "Suspended",
  status,
  message: "Nothing is consumed: the spec says suspend, or workload.replicas: 0",
});

function crashLoop(pods: readonly Pod[], nowMs: number): Report | undefined {
  const looping = pods
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .find((pod) => isLooping(pod, nowMs));
  const container = looping?.status?.containerStatuses?.[0];
  if (looping === undefined || container === undefined) return undefined;
  const { exitCode, signal } = container.lastState?.terminated ?? {};
  const how = signal !== undefined ? `by signal ${signal}` : `with exit code ${exitCode ?? "unknown"}`;
  const message = `Pod ${looping.metadata.name} ended ${container.restartCount ?? 0} times, last ${how}; its log says why`;
  return { kind: "Waiting", reason: "CrashLooping", message };
}

/** Between two crashes the container runs for a moment: that is no recovery. */
function isLooping({ status }: Pod, nowMs: number): boolean {
  const container = status?.containerStatuses?.[0];
  if (container === undefined || container.ready) return false;
  if (container.state?.waiting?.reason === "CrashLoopBackOff") return true;
  const { finishedAt, reason } = container.lastState?.terminated ?? {};
  const recent = finishedAt !== undefined && nowMs - Date.parse(finishedAt) < FORGIVEN_AFTER_MS;
  return (container.restartCount ?? 0) > 1 && recent && reason !== "Completed";
}
